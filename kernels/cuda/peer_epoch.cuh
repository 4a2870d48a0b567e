// Counts the meetings of a channel of peer_sum.h.
#pragma once

#include "kernels/cuda/device.cuh"

namespace uhd::cuda {

__device__ inline uint32_t epoch_of_values(uint32_t last) { return last + 1; }
__device__ inline uint32_t epoch_of_sums(uint32_t last) { return last + 2; }
__device__ inline uint32_t epoch_behind_call(uint32_t last) { return last + 2; }
__device__ inline uint32_t half_of_call(uint32_t last) { return last / 2 % 2; }
// Returns true if `epoch` is before `other`. Epochs wrap; ranks are never more than a call apart.
__device__ inline bool is_before(uint32_t epoch, uint32_t other) {
  return static_cast<int32_t>(epoch - other) < 0;
}

}  // namespace uhd::cuda
