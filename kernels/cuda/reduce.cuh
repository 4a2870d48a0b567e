// Computes sums and maxima over a warp and over a block.
#pragma once

#include "kernels/cuda/device.cuh"

namespace uhd::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
__device__ T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

// Returns the sum over this lane and those before it.
template <class T>
__device__ T warp_running_sum(T value) {
  const int lane = threadIdx.x % kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += before;
  }
  return value;
}

__device__ inline float warp_max(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

__device__ inline uint32_t warp_max(uint32_t value) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, value, step);
    value = other > value ? other : value;
  }
  return value;
}

// Returns to all threads of the block the value that over_warp makes of all of them; `neutral` changes
// nothing in it. blockDim.x is a multiple of 32, at most 1024. Every thread of the block calls it. It may be
// called again at once: it ends with a fence, so that no warp writes its next partial result while another
// still reads this one.
template <class T, class OverWarp>
__device__ T over_block(T value, T neutral, OverWarp over_warp) {
  struct Partial;
  T* partial = block_array<T, kWarp, Partial>();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = over_warp(value);
  if (warps == 1) return value;
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = over_warp(lane < warps ? partial[lane] : neutral);
  __syncthreads();
  return value;
}

__device__ inline float block_sum(float value) {
  return over_block(value, 0.0f, [](float v) { return warp_sum(v); });
}

__device__ inline uint32_t block_max(uint32_t value) {
  return over_block(value, 0u, [](uint32_t v) { return warp_max(v); });
}

}  // namespace uhd::cuda
