#include "model/language/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace uhd {
namespace {

// Returns 1 / (f · base^(2i/D)), where f is 1 or the factor of that frequency.
std::vector<float> frequencies(double base, int head_dim, const std::vector<double>& factors = {}) {
  std::vector<float> result(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < result.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float factor = factors.empty() ? 1.0f : static_cast<float>(factors[i]);
    result[i] = 1.0f / (factor * static_cast<float>(std::pow(base, static_cast<double>(exponent))));
  }
  return result;
}

// Llama 3.1: long wavelengths are stretched by the factor, short ones stay, those between are blended.
void scale_llama3(const RopeScaling& rope, std::vector<float>& inverse) {
  const double longest = rope.original_context / rope.low_freq_factor;
  const double shortest = rope.original_context / rope.high_freq_factor;
  for (float& f : inverse) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength < shortest) continue;
    const double share = (rope.original_context / wavelength - rope.low_freq_factor) /
                         (rope.high_freq_factor - rope.low_freq_factor);
    const double kept = wavelength > longest ? 0 : share;
    f = static_cast<float>((1 - kept) * f / rope.factor + kept * f);
  }
}

// YaRN (arXiv 2309.00071): a ramp over the dimensions between interpolated and original frequencies.
float scale_yarn(const LanguageConfig& c, std::vector<float>& inverse) {
  const RopeScaling& rope = c.rope;
  const auto dimension_of = [&](double rotations) {
    return c.head_dim * std::log(rope.original_context / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(c.rope_theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, c.head_dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inverse.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inverse[i] = static_cast<float>(inverse[i] / rope.factor * ramp + inverse[i] * (1 - ramp));
  }
  if (rope.attention_factor > 0) return static_cast<float>(rope.attention_factor);
  return rope.factor <= 1 ? 1.0f : static_cast<float>(0.1 * std::log(rope.factor) + 1);
}

// LongRoPE (arXiv 2402.13753): the cosines and sines are scaled under both lists of factors.
float longrope_attention_factor(const RopeScaling& rope) {
  if (rope.attention_factor > 0) return static_cast<float>(rope.attention_factor);
  if (rope.factor <= 1) return 1.0f;
  return static_cast<float>(std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_context)));
}

// Dynamic NTK: past the original context the base grows with the length; a position takes the base of the
// length at which it is the newest token.
double dynamic_base(const LanguageConfig& c, int position) {
  const double length = position + 1;
  if (length <= c.rope.original_context || c.head_dim <= 2) return c.rope_theta;
  const double growth = c.rope.factor * length / c.rope.original_context - (c.rope.factor - 1);
  return c.rope_theta * std::pow(growth, c.head_dim / (c.head_dim - 2.0));
}

}  // namespace

std::vector<float> rope_table(const LanguageConfig& c, int positions) {
  check(positions > 0, "a table of ", positions, " positions");
  std::vector<float> inverse = frequencies(c.rope_theta, c.head_dim);
  float factor = 1;
  if (c.rope.kind == RopeScaling::Kind::linear) {
    for (float& f : inverse) f = static_cast<float>(f / c.rope.factor);
  } else if (c.rope.kind == RopeScaling::Kind::llama3) {
    scale_llama3(c.rope, inverse);
  } else if (c.rope.kind == RopeScaling::Kind::yarn) {
    factor = scale_yarn(c, inverse);
  } else if (c.rope.kind == RopeScaling::Kind::longrope) {
    const bool beyond = positions > c.rope.original_context;
    inverse = frequencies(c.rope_theta, c.head_dim, beyond ? c.rope.long_factors : c.rope.short_factors);
    factor = longrope_attention_factor(c.rope);
  }
  const bool dynamic = c.rope.kind == RopeScaling::Kind::dynamic;
  const size_t half = inverse.size();
  std::vector<float> table(static_cast<size_t>(positions) * 2 * half);
  for (int p = 0; p < positions; ++p) {
    if (dynamic && p >= c.rope.original_context) inverse = frequencies(dynamic_base(c, p), c.head_dim);
    float* cosines = table.data() + static_cast<size_t>(p) * 2 * half;
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * inverse[i];
      cosines[i] = std::cos(angle) * factor;
      cosines[half + i] = std::sin(angle) * factor;
    }
  }
  return table;
}

}  // namespace uhd
