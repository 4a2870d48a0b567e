// Sums and maxima over a warp and over a block.
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

// The sum over this lane and those before it.
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

// The sum over all threads of the block, to all of them. blockDim.x is a multiple of 32, at most 1024. Every
// thread of the block calls it. May be called again at once: it ends with a fence, so that no warp writes its
// next partial sum while another still reads this one.
__device__ inline float block_sum(float value) {
  struct Partial;
  float* partial = block_array<float, kWarp, Partial>();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = warp_sum(value);
  if (warps == 1) return value;
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_sum(lane < warps ? partial[lane] : 0.0f);
  __syncthreads();
  return value;
}

// The largest of all threads of the block, to all of them; called as block_sum is.
__device__ inline uint32_t block_max(uint32_t value) {
  struct Partial;
  uint32_t* partial = block_array<uint32_t, kWarp, Partial>();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = warp_max(value);
  if (warps == 1) return value;
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_max(lane < warps ? partial[lane] : 0u);
  __syncthreads();
  return value;
}

}  // namespace uhd::cuda
