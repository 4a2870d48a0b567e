// Turns pixels into patches, and implements the two resamplings of grids.
#include <cmath>

#include "kernels/bilinear.h"
#include "kernels/cpu/backend.h"

namespace uhd::cpu {
namespace {

// One row of patches of a slice: `columns` output rows.
void patchify_strip(float* out, int64_t out_stride, const uint8_t* pixels, int width, int patch,
                    const float table[3][256]) {
  for (int column = 0; column < width / patch; ++column) {
    float* to = out + column * out_stride;
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < patch; ++y) {
        const uint8_t* from = pixels + (int64_t{y} * width + int64_t{column} * patch) * 3 + c;
        for (int x = 0; x < patch; ++x) *to++ = table[c][from[x * 3]];
      }
    }
  }
}

// One window of a grid: its bins, row-major.
void align_window(Tensor out, Tensor x, const AlignGrid& g, int window_row, int window_column) {
  const AlignWindow w(g, window_row, window_column);
  const int64_t n = x.dim(1);
  const int64_t window = int64_t{window_row} * g.window_columns + window_column;
  for (int by = 0; by < g.bin_rows; ++by) {
    for (int bx = 0; bx < g.bin_columns; ++bx) {
      const int64_t bin = (window * g.bin_rows + by) * g.bin_columns + bx;
      float* to = out.row<float>(g.first_out + bin);
      std::fill_n(to, n, 0.0f);
      for (int sy = 0; sy < w.samples_y; ++sy) {
        for (int sx = 0; sx < w.samples_x; ++sx) {
          const Bilinear b(w.y(by, sy), w.x(bx, sx), g.rows, g.columns);
          const float* p0 = x.row<float>(g.first_row + b.at[0]);
          const float* p1 = x.row<float>(g.first_row + b.at[1]);
          const float* p2 = x.row<float>(g.first_row + b.at[2]);
          const float* p3 = x.row<float>(g.first_row + b.at[3]);
          for (int64_t i = 0; i < n; ++i)
            to[i] += b.weight[0] * p0[i] + b.weight[1] * p1[i] + b.weight[2] * p2[i] + b.weight[3] * p3[i];
        }
      }
      for (int64_t i = 0; i < n; ++i) to[i] /= w.samples();
    }
  }
}

}  // namespace

void Backend::perform(const ops::Patchify& op) {
  float table[3][256];
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      table[c][v] =
          (static_cast<float>(v) / 255.0f - op.normalisation.mean[c]) / op.normalisation.deviation[c];
  int64_t first = 0;
  for (const PixelSlice& s : op.slices) {
    const uint8_t* from = op.pixels.data<uint8_t>() + s.offset;
    const int64_t columns = s.width / op.patch;
    pool_.parallel_for(s.height / op.patch, 1, [&](int64_t row, int64_t) {
      patchify_strip(op.out.row<float>(first + row * columns), op.out.row_stride(),
                     from + row * op.patch * s.width * 3, s.width, op.patch, table);
    });
    first += columns * (s.height / op.patch);
  }
}

void Backend::perform(const ops::InterpolatePositions& op) {
  const int64_t side = std::llround(std::sqrt(static_cast<double>(op.table.rows())));
  const int64_t n = op.table.dim(1);
  for_rows(op.out.rows(), 16 * n, [&](int64_t cell) {
    const CubicAt y(static_cast<int>(cell / op.w), op.h, side);
    const CubicAt x(static_cast<int>(cell % op.w), op.w, side);
    float* to = op.out.row<float>(cell);
    std::fill_n(to, n, 0.0f);
    for (int j = 0; j < 4; ++j) {
      const float* row[4];
      for (int i = 0; i < 4; ++i) row[i] = op.table.row<float>(y.at[j] * side + x.at[i]);
      for (int64_t c = 0; c < n; ++c)
        to[c] += y.weight[j] * (x.weight[0] * row[0][c] + x.weight[1] * row[1][c] + x.weight[2] * row[2][c] +
                                x.weight[3] * row[3][c]);
    }
  });
}

void Backend::perform(const ops::RegionAlign& op) {
  for (const AlignGrid& g : op.grids) {
    pool_.parallel_for(int64_t{g.window_rows} * g.window_columns, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        align_window(op.out, op.x, g, static_cast<int>(i / g.window_columns),
                     static_cast<int>(i % g.window_columns));
    });
  }
}

}  // namespace uhd::cpu
