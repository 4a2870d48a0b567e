// Runs one panel of a matmul whose weights are codes, over the vector type V of the including file; it is
// internal to that file.
#pragma once

#include "kernels/cpu/matmul_loops.h"

namespace uhd::cpu {
namespace {

// Makes a unit of two values that bfloat16 holds exactly.
inline uint32_t unit_of(float even, float odd) {
  return __builtin_bit_cast(uint32_t, even) >> 16 | (__builtin_bit_cast(uint32_t, odd) & 0xffff0000u);
}

// expand writes `units` rows of kPanel codes, from row `first` of the panel on, as units of bfloat16. It is a
// plain loop that the compiler turns into the vectors of its file. With kScaled the units hold code · scale,
// else the code alone.
struct Fp8Codes {
  static constexpr bool kScaled = false;
  static float value(uint32_t code) {  // the exponents' biases differ by 120
    return __builtin_bit_cast(float, (code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f;
  }
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    const uint16_t* codes = static_cast<const uint16_t*>(job.panel) + first * kPanel;
    for (int64_t i = 0; i < units * kPanel; ++i)
      out[i] = unit_of(value(codes[i] & 0xffu), value(codes[i] >> 8));
  }
};

struct Int8Codes {
  static constexpr bool kScaled = false;
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    const uint16_t* codes = static_cast<const uint16_t*>(job.panel) + first * kPanel;
    for (int64_t i = 0; i < units * kPanel; ++i) {
      const uint32_t pair = codes[i];
      const int32_t even = static_cast<int32_t>(pair << 24) >> 24,
                    odd = static_cast<int32_t>(pair << 16) >> 24;
      out[i] = unit_of(static_cast<float>(even), static_cast<float>(odd));
    }
  }
};

struct Int4Codes {
  static constexpr bool kScaled = true;
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    const uint8_t* codes = static_cast<const uint8_t*>(job.panel) + first * kPanel;
    const uint16_t* scales = static_cast<const uint16_t*>(job.scales);
    for (int64_t u = 0; u < units; ++u) {
      const uint16_t* group = scales + (first + u) / kGroupUnits * kPanel;
      for (int64_t j = 0; j < kPanel; ++j) {
        const float scale = __builtin_bit_cast(float, static_cast<uint32_t>(group[j]) << 16);
        const int32_t pair = codes[u * kPanel + j];
        const int32_t even = (pair & 15) - 8, odd = (pair >> 4) - 8;
        out[u * kPanel + j] = unit_of(static_cast<float>(even) * scale, static_cast<float>(odd) * scale);
      }
    }
  }
};

// A block of codes (16 KiB) at a time becomes units in the first-level cache, for all rows.
constexpr int64_t kCodeUnits = 64;

template <class V, class Codes>
void code_panel(const PanelJob& job) {
  using Units = Bf16Units<V>;
  alignas(64) float sums[kPanelRows * kPanel];
  alignas(64) uint32_t block[kCodeUnits * kPanel];
  const int64_t columns = (job.columns + V::kWidth - 1) / V::kWidth * V::kWidth;
  for (int64_t first = 0; first < job.units; first += kCodeUnits) {
    const int64_t units = smaller(kCodeUnits, job.units - first);
    Codes::expand(block, job, first, units);
    for (int64_t row = 0; row < job.rows;) {
      const int64_t rows = strip_rows(job.rows - row, Units::kRows);
      const uint32_t* x = static_cast<const uint32_t*>(job.x) + row * job.x_stride + first;
      strip<V, Units>(rows, sums + row * kPanel, kPanel, x, job.x_stride, block, kPanel, units, columns,
                      first > 0);
      row += rows;
    }
  }
  const float* scales = Codes::kScaled ? nullptr : static_cast<const float*>(job.scales);
  for (int64_t r = 0; r < job.rows; ++r)
    finish_row<V>(job.out + r * job.out_stride, sums + r * kPanel, job, scales);
}

}  // namespace
}  // namespace uhd::cpu
