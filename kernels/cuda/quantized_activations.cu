#include "kernels/cuda/quantized_activations.h"

#include <cuda_fp8.h>

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

constexpr float kLeast = 1e-30f;  // kernels/quantize.cc
constexpr int kCodes = 16;        // of a packet

struct E4m3 {
  static constexpr float kMost = 448.0f;
  static __device__ unsigned char encode(float x) {
    return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
  }
};

struct Int8 {
  static constexpr float kMost = 127.0f;
  static __device__ unsigned char encode(float x) {
    return static_cast<unsigned char>(static_cast<int>(rintf(x)));
  }
};

// Columns [first, first + 16) of a row, zeros from `columns` on.
template <bool Wide, class T>
__device__ void load_packet(float (&to)[kCodes], const T* row, int first, int columns) {
  if (Wide && first + kCodes <= columns) return load_floats(to, row + first);
#pragma unroll
  for (int i = 0; i < kCodes; ++i) to[i] = first + i < columns ? to_float(row[first + i]) : 0.0f;
}

// One block a row of codes, one packet of them a thread at a time; the row of x is read twice, the second
// time from the caches.
template <class Code, class T, bool Wide>
__global__ void quantize_each_row(RowsOf<unsigned char> code_rows, float* __restrict__ scales,
                                  RowsOf<const T> x_rows, int rows, int x_columns) {
  const int row = static_cast<int>(blockIdx.x);
  const int columns = row < rows ? x_columns : 0;
  const T* x = x_rows[row < rows ? row : 0];
  const int step = static_cast<int>(blockDim.x) * kCodes;
  float v[kCodes];
  // Magnitudes are ordered as their bits are, and values that are not finite are above them all.
  uint32_t bits = 0;
  for (int first = static_cast<int>(threadIdx.x) * kCodes; first < columns; first += step) {
    load_packet<Wide>(v, x, first, columns);
#pragma unroll
    for (int i = 0; i < kCodes; ++i) {
      const uint32_t magnitude = bits_as<uint32_t>(v[i]) & 0x7fffffffu;
      bits = magnitude > bits ? magnitude : bits;
    }
  }
  bits = block_max(bits);
  const float largest = bits_as<float>(bits);
  const bool finite = bits < 0x7f800000u, encoded = finite && largest >= kLeast;
  const float scale = encoded ? largest / Code::kMost : 0.0f;
  const float inverse = encoded ? Code::kMost / largest : 0.0f;
  if (threadIdx.x == 0) scales[row] = finite ? scale : NAN;
  unsigned char* codes = code_rows[row];
  for (int first = static_cast<int>(threadIdx.x) * kCodes; first < code_rows.stride; first += step) {
    load_packet<Wide>(v, x, first, encoded ? columns : 0);
    Packed<unsigned char, kCodes> packet;
#pragma unroll
    for (int i = 0; i < kCodes; ++i) packet.values[i] = Code::encode(v[i] * inverse);
    store_aligned(codes + first, packet);
  }
}

// One row a block in x, threads along it and blocks in y; N columns a thread.
template <class Sum, class Out, int N>
__global__ void scale_each_sum(RowsOf<Out> out_rows, RowsOf<const Sum> sum_rows,
                               const float* __restrict__ row_scales, const float* __restrict__ column_scales,
                               const float* __restrict__ bias, int columns, bool add) {
  const int i = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  if (i >= columns) return;
  Out* out = out_rows[blockIdx.x] + i;
  const float row_scale = row_scales[blockIdx.x];
  float v[N], other[N];
  load_floats(v, sum_rows[blockIdx.x] + i);
  load_floats(other, column_scales + i);
#pragma unroll
  for (int j = 0; j < N; ++j) v[j] = v[j] * row_scale * other[j];
  if (bias != nullptr) {
    load_floats(other, bias + i);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] += other[j];
  }
  if (add) {
    load_floats(other, out);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] += other[j];
  }
  store_floats(out, v);
}

bool aligned(const Tensor& vector) { return reinterpret_cast<uintptr_t>(vector.raw()) % 16 == 0; }

template <class Run>
void with_sum(DType type, const Run& run) {
  if (type == DType::i32) return run.template operator()<int32_t>();
  check(type == DType::f32, "sums of codes are f32 or i32, not ", name_of(type));
  run.template operator()<float>();
}

}  // namespace

void quantize_rows(cudaStream_t stream, Tensor codes, Tensor scales, Tensor x, WeightFormat format) {
  check(format == WeightFormat::fp8 || format == WeightFormat::int8, "activations do not become ",
        name_of(format));
  const auto run = [&]<class Code, class T, bool Wide>() {
    launch(quantize_each_row<Code, T, Wide>, static_cast<unsigned>(codes.rows()),
           row_threads(codes.dim(1) / kCodes), 0, stream, rows_of<unsigned char>(codes), scales.data<float>(),
           rows_of<const T>(x), static_cast<int>(x.rows()), static_cast<int>(x.dim(1)));
  };
  with_activation(x.dtype(), [&]<class T>() {
    const auto as = [&]<class Code>() {
      aligned_rows(x) ? run.template operator()<Code, T, true>() : run.template operator()<Code, T, false>();
    };
    format == WeightFormat::fp8 ? as.template operator()<E4m3>() : as.template operator()<Int8>();
  });
}

void scale_sums(cudaStream_t stream, Tensor out, Tensor sums, Tensor row_scales, Tensor column_scales,
                Tensor bias, bool add) {
  const int64_t columns = out.dim(1);
  const auto run = [&]<class Sum, class Out, int N>() {
    const unsigned threads = row_threads((columns + N - 1) / N);
    const dim3 grid(static_cast<unsigned>(out.rows()), blocks(columns, int64_t{threads} * N));
    launch(scale_each_sum<Sum, Out, N>, grid, threads, 0, stream, rows_of<Out>(out), rows_of<const Sum>(sums),
           row_scales.data<float>(), column_scales.data<float>(), bias.empty() ? nullptr : bias.data<float>(),
           static_cast<int>(columns), add);
  };
  with_sum(sums.dtype(), [&]<class Sum>() {
    with_activation(out.dtype(), [&]<class Out>() {
      constexpr int kEach = kWide<Out>;
      if (columns % kEach == 0 && aligned_rows(out, sums) && aligned(column_scales) && aligned(bias)) {
        run.template operator()<Sum, Out, kEach>();
      } else {
        run.template operator()<Sum, Out, 1>();
      }
    });
  });
}

}  // namespace uhd::cuda
