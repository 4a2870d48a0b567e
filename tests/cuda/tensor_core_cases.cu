#include "tests/cuda/tensor_core_cases.h"

#include "kernels/cuda/device.cuh"

namespace uhd::cuda {
namespace {

constexpr int kRowBytes = 48;  // of a tile in shared memory: 16 elements and a gap

// Sums of two products of 8 columns, as [16,16].
__device__ void store_sums(float* out, const float (&left)[4], const float (&right)[4]) {
  const int row = threadIdx.x / 4, column = threadIdx.x % 4 * 2;
  for (int i = 0; i < 4; ++i) {
    float* at = out + (row + i / 2 * 8) * 16 + column + i % 2;
    at[0] = left[i];
    at[8] = right[i];
  }
}

__global__ void tiles(float* by_rows, float* by_columns, const unsigned char* a, const unsigned char* b,
                      int rows) {
  unsigned char* a_tile = dynamic_shared<unsigned char>();
  unsigned char* b_tile = a_tile + 16 * kRowBytes;
  const int lane = threadIdx.x, row = lane / 2, half = lane % 2 * 16;
  copy_async_16(a_tile + row * kRowBytes + half, a + row * 32 + half);
  copy_async_16(b_tile + row * kRowBytes + half, b + row * 32 + half, row < rows ? 16 : 0);
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  // Matrices of a: rows 0-7, rows 8-15, then the right half of both.
  uint32_t fa[4], fb[4];
  load_matrix_x4(fa, a_tile + lane % 16 * kRowBytes + lane / 16 * 16);
  // b as columns: rows 0-7 left and right, rows 8-15 left and right.
  load_matrix_x4(fb, b_tile + (lane / 16 * 8 + lane % 8) * kRowBytes + lane / 8 % 2 * 16);
  float left[4] = {}, right[4] = {};
  const uint32_t rows_left[2] = {fb[0], fb[1]}, rows_right[2] = {fb[2], fb[3]};
  mma_m16n8k16(left, fa, rows_left);
  mma_m16n8k16(right, fa, rows_right);
  store_sums(by_rows, left, right);
  // b as rows: left columns of rows 0-7 and 8-15, then the right ones.
  load_matrix_x4_transposed(fb, b_tile + lane % 16 * kRowBytes + lane / 16 * 16);
  for (int i = 0; i < 4; ++i) left[i] = right[i] = 0.0f;
  const uint32_t columns_left[2] = {fb[0], fb[1]}, columns_right[2] = {fb[2], fb[3]};
  mma_m16n8k16(left, fa, columns_left);
  mma_m16n8k16(right, fa, columns_right);
  store_sums(by_columns, left, right);
}

}  // namespace

void multiply_tiles(cudaStream_t stream, float* by_rows, float* by_columns, const void* a, const void* b,
                    int rows) {
  launch(tiles, dim3(1), dim3(32), 2 * 16 * kRowBytes, stream, by_rows, by_columns,
         static_cast<const unsigned char*>(a), static_cast<const unsigned char*>(b), rows);
}

}  // namespace uhd::cuda
