// Moves activations and sums between memory (f32, bf16, i32) and registers (f32), 16 bytes at a time.
#pragma once

#include "kernels/cuda/device.cuh"

namespace uhd::cuda {

using Bf16 = __nv_bfloat16;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(int32_t x) { return static_cast<float>(x); }
__device__ inline float to_float(Bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }
template <class T>
__device__ T from_float(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else if constexpr (std::is_same_v<T, Bf16>)
    return __float2bfloat16_rn(x);
  else
    return __float2half_rn(x);
}

template <class To, class From>
__device__ To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof(to));
  return to;
}

// The elements of one 16-byte access.
template <class T>
constexpr int kWide = 16 / sizeof(T);

// A Packed is up to 16 bytes of T as one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Packed {
  T values[N];
};

// Loads N consecutive elements, 16 bytes at a time (fewer when N is small); `from` is aligned to an access.
template <int N, class T>
__device__ void load_floats(float (&to)[N], const T* from) {
  constexpr int kStep = N < kWide<T> ? N : kWide<T>;
#pragma unroll
  for (int at = 0; at < N; at += kStep) {
    const auto packed = load_aligned<Packed<T, kStep>>(from + at);
#pragma unroll
    for (int i = 0; i < kStep; ++i) to[at + i] = to_float(packed.values[i]);
  }
}
template <int N, class T>
__device__ void store_floats(T* to, const float (&from)[N]) {
  constexpr int kStep = N < kWide<T> ? N : kWide<T>;
#pragma unroll
  for (int at = 0; at < N; at += kStep) {
    Packed<T, kStep> packed;
#pragma unroll
    for (int i = 0; i < kStep; ++i) packed.values[i] = from_float<T>(from[at + i]);
    store_aligned(to + at, packed);
  }
}

}  // namespace uhd::cuda
