// A matrix [N, K] ready for matmul: packed once for its backend, whatever the number of rows it will meet.
#pragma once

#include <string_view>

#include "kernels/device_buffer.h"

namespace uhd {

// How the elements are stored, and with it how products are formed:
//   f32   activations stay float, products and sums in float
//   bf16  activations are rounded to bfloat16, products of bfloat16 pairs, sums in float
//   fp8, int8, int4  as bf16, the weight being code · scale: kernels/quantize.h; activations become codes as
//         well where BackendOptions::quantize_activations asks for it
enum class WeightFormat : uint8_t { f32, bf16, fp8, int8, int4 };

constexpr bool is_quantized(WeightFormat format) {
  return format != WeightFormat::f32 && format != WeightFormat::bf16;
}

constexpr std::string_view name_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::fp8:
      return "fp8";
    case WeightFormat::int8:
      return "int8";
    case WeightFormat::int4:
      return "int4";
  }
  return "?";
}

struct Weight {
  WeightFormat format = WeightFormat::bf16;
  int64_t n = 0;  // outputs
  int64_t k = 0;  // inputs
  DeviceBuffer data;
  DeviceBuffer scales;  // of quantized formats
};

}  // namespace uhd
