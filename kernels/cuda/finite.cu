#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

// One block checks one row. Magnitudes are ordered as their bits are, and values that are not finite are
// above them all.
template <class T, int N>
__global__ void flag_finite_rows(int* __restrict__ flags, RowsOf<const T> x, int columns) {
  const T* row = x[blockIdx.x];
  uint32_t largest = 0;
  for (int i = static_cast<int>(threadIdx.x) * N; i < columns; i += static_cast<int>(blockDim.x) * N) {
    float v[N];
    load_floats(v, row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const uint32_t magnitude = bits_as<uint32_t>(v[j]) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
  }
  largest = block_max(largest);
  if (threadIdx.x == 0) flags[blockIdx.x] = largest < 0x7f800000u ? 1 : 0;
}

}  // namespace

void queue(cudaStream_t stream, const ops::FiniteRows& op) {
  if (op.x.rows() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(flag_finite_rows<T, N>, blocks(op.x.rows(), 1), row_threads((columns + N - 1) / N), 0, stream,
           op.flags.data<int32_t>(), rows_of<const T>(op.x), columns);
  };
  with_width(columns, run, op.x);
}

}  // namespace uhd::cuda
