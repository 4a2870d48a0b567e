#include "tests/reference/ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace uhd::reference {
namespace {

// Returns x itself for f32. The other formats round activations to bfloat16.
double rounded(double x, WeightFormat format) {
  return format == WeightFormat::f32 ? x : static_cast<float>(bf16(static_cast<float>(x)));
}

double apply(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Epilogue::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Epilogue::quick_gelu:
      return x / (1 + std::exp(-1.702 * x));
    default:
      return x;
  }
}

// The nearest, or the first that is not less, of the numbers m · 2^e with a whole m of so many bits.
float of_bits(float x, int bits, bool up) {
  if (x == 0) return 0;
  const double unit = std::exp2(std::floor(std::log2(static_cast<double>(x))) - bits + 1);
  return static_cast<float>((up ? std::ceil(x / unit) : std::round(x / unit)) * unit);
}

float scale_of(float largest, WeightFormat format) {
  if (format == WeightFormat::fp8) return of_bits(largest / 448.0f, 4, true);
  if (format == WeightFormat::int8) return largest / 127.0f;
  return of_bits(largest / 7.0f, 5, false);
}

// Chooses among the values (1 + m/8) 2^(e−7), and m/8 · 2^−6 if e is 0; between two, it takes the one with an
// even m.
double nearest_e4m3(double x) {
  double best = 0, least = std::abs(x);
  for (int code = 1; code < 127; ++code) {
    const int e = code / 8, m = code % 8;
    const double value = e == 0 ? m / 8.0 * std::exp2(-6) : (1 + m / 8.0) * std::exp2(e - 7);
    const double distance = std::abs(std::abs(x) - value);
    if (distance < least || (distance == least && m % 2 == 0)) {
      best = value;
      least = distance;
    }
  }
  return std::copysign(best, x);
}

// Returns the weight of cubic convolution with a = −0.75.
double cubic(double distance) {
  const double a = -0.75;
  const double x = std::abs(distance);
  if (x <= 1) return (a + 2) * x * x * x - (a + 3) * x * x + 1;
  if (x < 2) return a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a;
  return 0;
}

}  // namespace

double element(Tensor t, int64_t row, int64_t column) {
  const int64_t at = row * t.row_stride() + column;
  switch (t.dtype()) {
    case DType::bf16:
      return static_cast<float>(t.data<bf16>()[at]);
    case DType::f16:
      return static_cast<float>(t.data<f16>()[at]);
    default:
      return t.data<float>()[at];
  }
}

Values dequantized(Tensor w, WeightFormat format) {
  Values out;
  const int64_t k = w.dim(1), group = format == WeightFormat::int4 ? 32 : k;
  for (int64_t n = 0; n < w.rows(); ++n) {
    for (int64_t first = 0; first < k; first += group) {
      const int64_t last = std::min(first + group, k);
      if (!is_quantized(format)) {
        for (int64_t i = first; i < last; ++i) out.push_back(rounded(element(w, n, i), format));
        continue;
      }
      float largest = 0;
      for (int64_t i = first; i < last; ++i)
        largest = std::max(largest, std::abs(static_cast<float>(element(w, n, i))));
      const float scale = scale_of(largest, format);
      for (int64_t i = first; i < last; ++i) {
        const float x = scale == 0 ? 0 : static_cast<float>(element(w, n, i)) / scale;
        const double code =
            format == WeightFormat::fp8
                ? nearest_e4m3(x)
                : std::clamp<double>(std::nearbyint(x), format == WeightFormat::int8 ? -127 : -7,
                                     format == WeightFormat::int8 ? 127 : 7);
        out.push_back(code * scale);
      }
    }
  }
  return out;
}

Values matmul(Tensor x, Tensor w, Tensor bias, Epilogue epilogue, WeightFormat format, const Values& before) {
  Values out, weights = dequantized(w, format);
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t n = 0; n < w.rows(); ++n) {
      double sum = bias.empty() ? 0 : element(bias, 0, n);
      for (int64_t k = 0; k < w.dim(1); ++k)
        sum += rounded(element(x, t, k), format) * weights[n * w.dim(1) + k];
      out.push_back(epilogue == Epilogue::add ? before[out.size()] + sum : apply(epilogue, sum));
    }
  }
  return out;
}

Values embed(Tensor table, std::span<const int32_t> ids, int64_t first_id) {
  Values out;
  for (int32_t id : ids) {
    const bool here = id >= first_id && id < first_id + table.rows();
    for (int64_t i = 0; i < table.dim(1); ++i) out.push_back(here ? element(table, id - first_id, i) : 0);
  }
  return out;
}

Values rms_norm(Tensor x, Tensor w, double eps) {
  Values out;
  const int64_t n = x.dim(1);
  for (int64_t t = 0; t < x.rows(); ++t) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += element(x, t, i) * element(x, t, i);
    for (int64_t i = 0; i < n; ++i)
      out.push_back(element(x, t, i) / std::sqrt(squares / n + eps) * element(w, 0, i));
  }
  return out;
}

Values layer_norm(Tensor x, Tensor w, Tensor b, double eps) {
  Values out;
  const int64_t n = x.dim(1);
  for (int64_t t = 0; t < x.rows(); ++t) {
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += element(x, t, i) / n;
    double variance = 0;
    for (int64_t i = 0; i < n; ++i) variance += std::pow(element(x, t, i) - mean, 2) / n;
    for (int64_t i = 0; i < n; ++i)
      out.push_back((element(x, t, i) - mean) / std::sqrt(variance + eps) * element(w, 0, i) +
                    element(b, 0, i));
  }
  return out;
}

Values head_norm(Tensor x, Tensor w, double eps) {
  Values out;
  const int64_t d = x.dim(2);
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t h = 0; h < x.dim(1); ++h) {
      double squares = 0;
      for (int64_t i = 0; i < d; ++i) squares += std::pow(element(x, t, h * d + i), 2);
      for (int64_t i = 0; i < d; ++i)
        out.push_back(element(x, t, h * d + i) / std::sqrt(squares / d + eps) * element(w, 0, i));
    }
  }
  return out;
}

Values rope(Tensor x, std::span<const int32_t> positions, Tensor table) {
  Values out;
  const int64_t half = x.dim(2) / 2;
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t h = 0; h < x.dim(1); ++h) {
      for (int64_t i = 0; i < 2 * half; ++i) {
        const double c = element(table, positions[t], i % half);
        const double s = element(table, positions[t], half + i % half);
        const double own = element(x, t, h * 2 * half + i);
        const double other = element(x, t, h * 2 * half + (i + half) % (2 * half));
        out.push_back(own * c + (i < half ? -other : other) * s);
      }
    }
  }
  return out;
}

Values silu_mul(Tensor gate_up) {
  Values out;
  const int64_t n = gate_up.dim(1) / 2;
  for (int64_t t = 0; t < gate_up.rows(); ++t) {
    for (int64_t i = 0; i < n; ++i) {
      const double g = element(gate_up, t, i);
      out.push_back(g / (1 + std::exp(-g)) * element(gate_up, t, n + i));
    }
  }
  return out;
}

Values add(Tensor a, Tensor b) {
  Values out;
  for (int64_t t = 0; t < a.rows(); ++t)
    for (int64_t i = 0; i < a.dim(1); ++i)
      out.push_back(element(a, t, i) + element(b, b.rows() == 1 ? 0 : t, i));
  return out;
}

Values attention_row(Tensor q, int64_t row, int64_t h, Tensor k, Tensor v, int64_t first, int64_t keys,
                     int64_t kv_head, double scale, WeightFormat format) {
  const int64_t d = q.dim(2);
  Values weights;
  double total = 0;
  double top = -INFINITY;
  for (int64_t j = 0; j < keys; ++j) {
    double score = 0;
    for (int64_t i = 0; i < d; ++i)
      score += rounded(element(q, row, h * d + i), format) *
               rounded(element(k, first + j, kv_head * d + i), format);
    weights.push_back(score * scale);
    top = std::max(top, weights.back());
  }
  for (double& w : weights) total += w = std::exp(w - top);
  Values out(d, 0);
  for (int64_t j = 0; j < keys; ++j)
    for (int64_t i = 0; i < d; ++i)
      out[i] += weights[j] / total * rounded(element(v, first + j, kv_head * d + i), format);
  return out;
}

Values patchify(std::span<const uint8_t> pixels, std::span<const PixelSlice> slices, int patch,
                const PatchNormalisation& normalisation) {
  Values out;
  for (const PixelSlice& s : slices)
    for (int py = 0; py < s.height / patch; ++py)
      for (int px = 0; px < s.width / patch; ++px)
        for (int c = 0; c < 3; ++c)
          for (int y = py * patch; y < (py + 1) * patch; ++y)
            for (int x = px * patch; x < (px + 1) * patch; ++x)
              out.push_back(
                  (pixels[s.offset + (int64_t{y} * s.width + x) * 3 + c] / 255.0 - normalisation.mean[c]) /
                  normalisation.deviation[c]);
  return out;
}

Values interpolate_positions(Tensor table, int h, int w) {
  const int64_t side = std::llround(std::sqrt(static_cast<double>(table.rows())));
  Values out;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const double cy = (y + 0.5) * static_cast<double>(side) / h - 0.5;
      const double cx = (x + 0.5) * static_cast<double>(side) / w - 0.5;
      for (int64_t c = 0; c < table.dim(1); ++c) {
        double sum = 0;
        for (int64_t sy = static_cast<int64_t>(std::floor(cy)) - 1; sy <= std::floor(cy) + 2; ++sy)
          for (int64_t sx = static_cast<int64_t>(std::floor(cx)) - 1; sx <= std::floor(cx) + 2; ++sx)
            sum += cubic(cy - sy) * cubic(cx - sx) *
                   element(table,
                           std::clamp<int64_t>(sy, 0, side - 1) * side + std::clamp<int64_t>(sx, 0, side - 1),
                           c);
        out.push_back(sum);
      }
    }
  }
  return out;
}

Values region_align(Tensor x, const AlignGrid& g) {
  // One sample of channel c at (y, at_x), bilinear with clamped borders.
  const auto sample = [&](double y, double at_x, int64_t c) {
    if (y < -1 || y > g.rows || at_x < -1 || at_x > g.columns) return 0.0;
    y = std::clamp(y, 0.0, g.rows - 1.0);
    at_x = std::clamp(at_x, 0.0, g.columns - 1.0);
    double sum = 0;
    for (int row = 0; row < g.rows; ++row)
      for (int column = 0; column < g.columns; ++column)
        sum += std::max(0.0, 1 - std::abs(y - row)) * std::max(0.0, 1 - std::abs(at_x - column)) *
               element(x, g.first_row + int64_t{row} * g.columns + column, c);
    return sum;
  };
  Values out;
  for (int wy = 0; wy < g.window_rows; ++wy) {
    for (int wx = 0; wx < g.window_columns; ++wx) {
      const double height = std::max(static_cast<double>(g.rows) / g.window_rows, 1.0);
      const double width = std::max(static_cast<double>(g.columns) / g.window_columns, 1.0);
      const double y0 = wy * static_cast<double>(g.rows) / g.window_rows;
      const double x0 = wx * static_cast<double>(g.columns) / g.window_columns;
      // The borders are floats in the definition; a size meant to be integral must not be rounded up by an
      // ulp.
      const int ny = static_cast<int>(std::ceil(height / g.bin_rows - 1e-5));
      const int nx = static_cast<int>(std::ceil(width / g.bin_columns - 1e-5));
      for (int by = 0; by < g.bin_rows; ++by) {
        for (int bx = 0; bx < g.bin_columns; ++bx) {
          for (int64_t c = 0; c < x.dim(1); ++c) {
            double sum = 0;
            for (int sy = 0; sy < ny; ++sy)
              for (int sx = 0; sx < nx; ++sx)
                sum += sample(y0 + (by + (sy + 0.5) / ny) * height / g.bin_rows,
                              x0 + (bx + (sx + 0.5) / nx) * width / g.bin_columns, c);
            out.push_back(sum / (ny * nx));
          }
        }
      }
    }
  }
  return out;
}

int32_t draw(std::span<const float> logits, const Draw& how) {
  std::vector<float> values(logits.begin(), logits.end());
  for (float& v : values) {
    if (std::isnan(v)) v = -std::numeric_limits<float>::infinity();
  }
  const float largest = *std::max_element(values.begin(), values.end());
  if (!std::isfinite(largest)) return -1;
  std::vector<int32_t> ranked(values.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  if (how.scale == 0) {
    return static_cast<int32_t>(std::find(values.begin(), values.end(), largest) - values.begin());
  }
  const auto distance = [&](int32_t id) {
    return draw_distance(values[static_cast<size_t>(id)], largest, how.scale);
  };
  const auto weight = [&](int32_t id) { return draw_weight(distance(id)); };
  const auto sum = [&] {
    return std::accumulate(ranked.begin(), ranked.end(), uint64_t{0},
                           [&](uint64_t total, int32_t id) { return total + weight(id); });
  };
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return distance(a) < distance(b); });
  if (how.top_k > 0) ranked.resize(std::min(ranked.size(), static_cast<size_t>(how.top_k)));
  if (how.top_p != Draw::kAll) {
    const uint64_t wanted = std::max<uint64_t>(1, share_of(sum(), how.top_p));
    uint64_t reached = 0;
    size_t count = 0;
    while (reached < wanted) reached += weight(ranked[count++]);
    ranked.resize(count);
  }
  std::erase_if(ranked, [&](int32_t id) { return weight(id) < how.least; });
  uint64_t left = share_of(sum(), how.random);
  std::sort(ranked.begin(), ranked.end());
  for (const int32_t id : ranked) {
    if (left < weight(id)) return id;
    left -= weight(id);
  }
  return -2;  // a share of a sum is less than the sum
}

}  // namespace uhd::reference
