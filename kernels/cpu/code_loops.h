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

// expand writes `units` rows of kPanel codes, from row `first` of the panel on (an even one), as units of
// bfloat16; expand_tiles does the same with `tiles` of one half of a panel that lies in tiles
// (panel_layout.h), as [tiles][2][16 units][16]. They are plain loops that the compiler turns into the
// vectors of its file. With kScaled the units hold code · scale, else the code alone.
constexpr int64_t kTileLine = 16;   // columns of a tile
constexpr int64_t kTileLines = 16;  // units, or quads
constexpr int64_t kTileUnits = kTileLine * kTileLines;
struct Fp8Codes {
  static constexpr bool kScaled = false;
  static float value(uint32_t code) {  // the exponents' biases differ by 120
    return __builtin_bit_cast(float, (code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f;
  }
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    pairs(out, static_cast<const uint16_t*>(job.panel) + first * kPanel, units * kPanel);
  }
  static void expand_tiles(uint32_t* out, const PanelJob& job, int64_t half, int64_t first, int64_t tiles) {
    const int64_t at = half * (job.units / kTileLines) + first;
    pairs(out, static_cast<const uint16_t*>(job.panel) + at * 2 * kTileUnits, tiles * 2 * kTileUnits);
  }

 private:
  static void pairs(uint32_t* out, const uint16_t* codes, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = unit_of(value(codes[i] & 0xffu), value(codes[i] >> 8));
  }
};

struct Int8Codes {
  static constexpr bool kScaled = false;
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    const uint32_t* codes = static_cast<const uint32_t*>(job.panel) + first / 2 * kPanel;
    for (int64_t u = 0; u < units; u += 2)
      quads(out + u * kPanel, out + (u + 1) * kPanel, codes + u / 2 * kPanel, kPanel);
  }
  static void expand_tiles(uint32_t* out, const PanelJob& job, int64_t half, int64_t first, int64_t tiles) {
    const int64_t all = (job.units / kTileLines + 1) / 2;  // tiles of codes have twice as many elements
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t tile = (first + t) / 2, part = (first + t) % 2;
      for (int64_t c = 0; c < 2; ++c) {
        const uint32_t* codes = static_cast<const uint32_t*>(job.panel) +
                                ((half * all + tile) * 2 + c) * kTileUnits + part * kTileUnits / 2;
        uint32_t* to = out + (t * 2 + c) * kTileUnits;
        for (int64_t q = 0; q < kTileLines / 2; ++q)
          quads(to + 2 * q * kTileLine, to + (2 * q + 1) * kTileLine, codes + q * kTileLine, kTileLine);
      }
    }
  }

 private:
  static uint32_t unit(uint32_t pair) {
    const int32_t even = static_cast<int32_t>(pair << 24) >> 24, odd = static_cast<int32_t>(pair << 16) >> 24;
    return unit_of(static_cast<float>(even), static_cast<float>(odd));
  }
  static void quads(uint32_t* first, uint32_t* second, const uint32_t* codes, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      first[i] = unit(codes[i]);
      second[i] = unit(codes[i] >> 16);
    }
  }
};

struct Int4Codes {
  static constexpr bool kScaled = true;
  static void expand(uint32_t* out, const PanelJob& job, int64_t first, int64_t units) {
    const uint8_t* codes = static_cast<const uint8_t*>(job.panel) + first * kPanel;
    const uint16_t* scales = static_cast<const uint16_t*>(job.scales);
    for (int64_t u = 0; u < units; ++u)
      pairs(out + u * kPanel, codes + u * kPanel, scales + (first + u) / kGroupUnits * kPanel, kPanel);
  }
  static void expand_tiles(uint32_t* out, const PanelJob& job, int64_t half, int64_t first, int64_t tiles) {
    static_assert(kGroupUnits == kTileLines);
    const int64_t at = half * (job.units / kTileLines) + first;
    const uint8_t* codes = static_cast<const uint8_t*>(job.panel) + at * 2 * kTileUnits;
    for (int64_t t = 0; t < 2 * tiles; ++t) {
      const uint16_t* scales = static_cast<const uint16_t*>(job.scales) + (first + t / 2) * kPanel +
                               (half * 2 + t % 2) * kTileLine;
      for (int64_t i = 0; i < kTileUnits; i += kTileLine)
        pairs(out + t * kTileUnits + i, codes + t * kTileUnits + i, scales, kTileLine);
    }
  }

 private:
  static void pairs(uint32_t* out, const uint8_t* codes, const uint16_t* scales, int64_t n) {
    for (int64_t j = 0; j < n; ++j) {
      const float scale = __builtin_bit_cast(float, static_cast<uint32_t>(scales[j]) << 16);
      const int32_t pair = codes[j];
      const int32_t even = (pair & 15) - 8, odd = (pair >> 4) - 8;
      out[j] = unit_of(static_cast<float>(even) * scale, static_cast<float>(odd) * scale);
    }
  }
};

// A block of codes at a time becomes units, for all rows: in the first-level cache for few strips of rows,
// which make little of larger blocks, else where blocks of bfloat16 stay as well.
constexpr int64_t kCodeUnits = 64;
constexpr int64_t kFewStrips = 4;

template <class V, class Codes>
void code_panel(const PanelJob& job) {
  using Units = Bf16Units<V>;
  alignas(64) float sums[kPanelRows * kPanel];
  alignas(64) uint32_t block[V::kBlockUnits * kPanel];
  const int64_t columns = (job.columns + V::kWidth - 1) / V::kWidth * V::kWidth;
  const int64_t together = job.rows > kFewStrips * Units::kRows ? V::kBlockUnits : kCodeUnits;
  for (int64_t first = 0; first < job.units; first += together) {
    const int64_t units = smaller(together, job.units - first);
    Codes::expand(block, job, first, units);
    for (int64_t row = 0; row < job.rows;) {
      const int64_t rows = strip_rows(job.rows - row, Units::kRows);
      const uint32_t* x = static_cast<const uint32_t*>(job.x) + row * job.x_stride + first;
      strip<V, Units>(rows, sums + row * kPanel, kPanel, x, job.x_stride, block, kPanel, units, columns,
                      first > 0);
      row += rows;
    }
  }
  for (int64_t r = 0; r < job.rows; ++r) {
    float* out = job.out + r * job.out_stride;
    if constexpr (Codes::kScaled)
      finish_row<V>(out, FloatSums<V>{sums + r * kPanel}, job);
    else
      finish_row<V>(out, ScaledSums<V>{{sums + r * kPanel}, static_cast<const float*>(job.scales)}, job);
  }
}

}  // namespace
}  // namespace uhd::cpu
