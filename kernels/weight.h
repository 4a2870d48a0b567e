// A matrix [N, K] ready for matmul: packed once for its backend, whatever the number of rows it will meet.
#pragma once

#include "kernels/device_buffer.h"

namespace uhd {

// How the elements are stored, and with it how products are formed:
//   f32   activations stay float, products and sums in float
//   bf16  activations are rounded to bfloat16, products of bfloat16 pairs, sums in float
enum class WeightFormat : uint8_t { f32, bf16 };

struct Weight {
  WeightFormat format = WeightFormat::bf16;
  int64_t n = 0;  // outputs
  int64_t k = 0;  // inputs
  DeviceBuffer data;
};

}  // namespace uhd
