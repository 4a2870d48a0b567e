// A Weight is a matrix [N, K] ready for matmul: it is packed once for its backend, for any number of rows.
#pragma once

#include <string_view>

#include "kernels/device_buffer.h"

namespace uhd {

// A WeightFormat says how the elements are stored, and how products are formed:
//
//   f32   activations stay float, products and sums are float
//   bf16  activations are rounded to bfloat16, products of bfloat16 pairs, sums in float
//   fp8, int8, int4  as bf16, the weight being code · scale: kernels/quantize.h; activations become
//         codes as well if BackendOptions::quantize_activations asks for it
enum class WeightFormat : uint8_t { f32, bf16, fp8, int8, int4 };

constexpr bool is_quantized(WeightFormat format) {
  return format != WeightFormat::f32 && format != WeightFormat::bf16;
}

// The format of what stays as it is beside matrices in `format`.
constexpr WeightFormat unquantized(WeightFormat format) {
  return is_quantized(format) ? WeightFormat::bf16 : format;
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
  DeviceBuffer scales;      // scales of quantized formats
  bool codes_only = false;  // int8: products make codes of the activations too, whatever the backend does
};

}  // namespace uhd
