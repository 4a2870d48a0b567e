// Says where the elements of a weight lie in its panels of kPanel columns.
//
// A line holds `together` elements that are neighbours along K, of one column: one float, two bfloat16 or
// codes, or four codes of int8. A panel is [lines][kPanel] for vectors. For tiles of AMX it is [2 halves]
// [lines / 16][2][16 lines][16 columns], so that each tile of 16 lines lies in one piece. Padding is zero.
#pragma once

#include <span>

#include "kernels/cpu/table.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace uhd::cpu {

struct PanelLayout {
  bool tiles = false;
  int64_t together = 1;
  int64_t line_bytes = 4;  // bytes of a line of one column
  int64_t lines = 0;       // lines of a panel

  PanelLayout(WeightFormat format, int64_t k, bool by_tiles)
      : tiles(by_tiles && format != WeightFormat::f32),
        together(format == WeightFormat::f32    ? 1
                 : format == WeightFormat::int8 ? 4
                                                : 2),
        line_bytes(format == WeightFormat::int4  ? 1
                   : format == WeightFormat::fp8 ? 2
                                                 : 4),
        lines((k + together - 1) / together) {
    if (tiles) lines = (lines + 15) / 16 * 16;
  }

  int64_t panel_bytes() const { return lines * kPanel * line_bytes; }
  // Returns the place of a line among the lines of all columns of its panel.
  int64_t at(int64_t line, int64_t column) const {
    if (!tiles) return line * kPanel + column;
    return ((column / 32 * (lines / 16) + line / 16) * 2 + column % 32 / 16) * 256 + line % 16 * 16 +
           column % 16;
  }
  // Returns how far apart two lines of a column are that follow one another: inside 16 lines of a tile, and
  // anywhere in a panel for vectors.
  int64_t step() const { return tiles ? 16 : kPanel; }
};

// Finds a row of a weight that is made of parts, one under another. Returns the part that holds it, whose row
// it becomes, or null where it is below the last: such rows are zero.
inline const Tensor* find_row(std::span<const Tensor> parts, int64_t& row) {
  for (const Tensor& part : parts) {
    if (row < part.rows()) return &part;
    row -= part.rows();
  }
  return nullptr;
}

}  // namespace uhd::cpu
