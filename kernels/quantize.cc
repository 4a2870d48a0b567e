#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace uhd {
namespace {

constexpr float kLeast = 1e-30f;

void floats_of(std::vector<float>& to, const Tensor& host, int64_t row) {
  const auto convert = [&](const auto* from) {
    for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<float>(from[i]);
  };
  switch (host.dtype()) {
    case DType::bf16:
      return convert(host.row<bf16>(row));
    case DType::f16:
      return convert(host.row<f16>(row));
    default:
      return convert(host.row<float>(row));
  }
}

// NaN where one of them is not finite.
float largest_of(std::span<const float> values) {
  float largest = 0, zero = 0;
  for (const float v : values) {
    largest = std::max(largest, std::abs(v));
    zero += v * 0.0f;
  }
  return largest + zero;
}

// `bits` significant bits, the others rounded up, or to nearest (halves up). x is positive and normal.
float shortened(float x, int bits, bool up) {
  const uint32_t unit = uint32_t{1} << (24 - bits);
  const uint32_t raised = std::bit_cast<uint32_t>(x) + (up ? unit - 1 : unit / 2);
  return std::bit_cast<float>(raised & ~(unit - 1));
}

float scale_of(float largest, WeightFormat format) {
  if (std::isnan(largest)) return largest;
  if (largest < kLeast) return 0;
  switch (format) {
    case WeightFormat::fp8:
      return shortened(largest / 448.0f, 4, true);
    case WeightFormat::int8:
      return largest / 127.0f;
    default:
      return shortened(largest / 7.0f, 5, false);
  }
}

// To nearest even, |x| < 2^22: a form that compilers turn into vectors.
float rounded(float x) { return (x + 12582912.0f) - 12582912.0f; }

void encode(std::span<uint8_t> codes, std::span<const float> values, float scale, WeightFormat format) {
  if (!(scale > 0)) {
    std::fill(codes.begin(), codes.end(), uint8_t{0});
  } else if (format == WeightFormat::fp8) {
    for (size_t i = 0; i < values.size(); ++i) codes[i] = to_e4m3(values[i] / scale);
  } else {
    const float most = format == WeightFormat::int8 ? 127.0f : 7.0f;
    for (size_t i = 0; i < values.size(); ++i) {
      const float code = std::clamp(rounded(values[i] / scale), -most, most);
      codes[i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    }
  }
}

}  // namespace

uint8_t to_e4m3(float x) {
  const auto sign = static_cast<uint8_t>(std::bit_cast<uint32_t>(x) >> 24 & 0x80u);
  const float magnitude = std::min(std::abs(x), 448.0f);
  if (magnitude < 0x1p-6f) return static_cast<uint8_t>(sign | static_cast<int>(rounded(magnitude * 512.0f)));
  uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  bits += 0x7ffffu + ((bits >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((bits >> 20) - (120u << 3)));
}

float from_e4m3(uint8_t code) {
  const uint32_t bits = (code & 0x80u) << 24 | (code & 0x7fu) << 20;
  return std::bit_cast<float>(bits) * 0x1p120f;  // the exponents' biases differ by 120
}

RowQuantizer::RowQuantizer(Tensor host, Tensor whole, WeightFormat format)
    : host_(host), whole_(whole.empty() ? host : whole), format_(format) {
  check(is_quantized(format), "no codes are made for ", name_of(format));
  const auto k = static_cast<size_t>(host.dim(1));
  row_.resize(k);
  codes_.resize(k);
  scales_.resize(format == WeightFormat::int4 ? static_cast<size_t>(groups_of(host.dim(1))) : 1);
  if (format != WeightFormat::int4 && !whole.empty()) whole_row_.resize(static_cast<size_t>(whole.dim(1)));
}

void RowQuantizer::quantize(int64_t row) {
  floats_of(row_, host_, row);
  if (format_ != WeightFormat::int4) {
    if (!whole_row_.empty()) floats_of(whole_row_, whole_, row);
    scales_[0] = scale_of(largest_of(whole_row_.empty() ? row_ : whole_row_), format_);
    return encode(codes_, row_, scales_[0], format_);
  }
  for (size_t g = 0; g < scales_.size(); ++g) {
    const size_t first = g * kGroup, count = std::min<size_t>(kGroup, row_.size() - first);
    const std::span<const float> values = std::span(row_).subspan(first, count);
    scales_[g] = scale_of(largest_of(values), format_);
    encode(std::span(codes_).subspan(first, count), values, scales_[g], format_);
  }
}

size_t bytes_of(WeightFormat format, int64_t n, int64_t k) {
  const auto rows = static_cast<size_t>(n), elements = static_cast<size_t>(n * k);
  switch (format) {
    case WeightFormat::f32:
      return elements * sizeof(float);
    case WeightFormat::bf16:
      return elements * sizeof(bf16);
    case WeightFormat::fp8:
    case WeightFormat::int8:
      return elements + rows * sizeof(float);
    case WeightFormat::int4:
      break;
  }
  return rows * static_cast<size_t>((k + 1) / 2) + rows * static_cast<size_t>(groups_of(k)) * sizeof(bf16);
}

}  // namespace uhd
