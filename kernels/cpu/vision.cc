// From pixels to patches, and the two resamplings of grids.
#include <cmath>

#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"
#include "kernels/math.h"

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

// The four neighbours of a point and their weights, as RoIAlign defines them: zero weights outside the grid.
struct Bilinear {
  int64_t at[4] = {0, 0, 0, 0};
  float weight[4] = {0, 0, 0, 0};

  Bilinear(float y, float x, int rows, int columns) {
    if (y < -1.0f || y > static_cast<float>(rows) || x < -1.0f || x > static_cast<float>(columns)) return;
    const auto [y0, y1, fy] = neighbours(y, rows);
    const auto [x0, x1, fx] = neighbours(x, columns);
    at[0] = int64_t{y0} * columns + x0;
    at[1] = int64_t{y0} * columns + x1;
    at[2] = int64_t{y1} * columns + x0;
    at[3] = int64_t{y1} * columns + x1;
    weight[0] = (1.0f - fy) * (1.0f - fx);
    weight[1] = (1.0f - fy) * fx;
    weight[2] = fy * (1.0f - fx);
    weight[3] = fy * fx;
  }

 private:
  struct Pair {
    int low;
    int high;
    float fraction;
  };
  static Pair neighbours(float v, int size) {
    v = std::max(v, 0.0f);
    const int low = static_cast<int>(v);
    if (low >= size - 1) return {size - 1, size - 1, 0.0f};
    return {low, low + 1, v - static_cast<float>(low)};
  }
};

// One window of a grid: its bins, row-major. Borders are taken in double and then kept as float.
void align_window(Tensor out, Tensor x, const AlignGrid& g, int window_row, int window_column) {
  const auto border = [](int index, int size, int windows) {
    return static_cast<float>(static_cast<double>(index) * (static_cast<double>(size) / windows));
  };
  const float y0 = border(window_row, g.rows, g.window_rows);
  const float x0 = border(window_column, g.columns, g.window_columns);
  const float height = std::max(border(window_row + 1, g.rows, g.window_rows) - y0, 1.0f);
  const float width = std::max(border(window_column + 1, g.columns, g.window_columns) - x0, 1.0f);
  const float bin_height = height / static_cast<float>(g.bin_rows);
  const float bin_width = width / static_cast<float>(g.bin_columns);
  const int samples_y = static_cast<int>(std::ceil(height / static_cast<float>(g.bin_rows)));
  const int samples_x = static_cast<int>(std::ceil(width / static_cast<float>(g.bin_columns)));
  const float count = static_cast<float>(std::max(samples_y * samples_x, 1));
  const int64_t n = x.dim(1);
  const int64_t window = int64_t{window_row} * g.window_columns + window_column;
  for (int by = 0; by < g.bin_rows; ++by) {
    for (int bx = 0; bx < g.bin_columns; ++bx) {
      const int64_t bin = (window * g.bin_rows + by) * g.bin_columns + bx;
      float* to = out.row<float>(g.first_out + bin);
      std::fill_n(to, n, 0.0f);
      for (int sy = 0; sy < samples_y; ++sy) {
        const float y = y0 + static_cast<float>(by) * bin_height +
                        (static_cast<float>(sy) + 0.5f) * bin_height / static_cast<float>(samples_y);
        for (int sx = 0; sx < samples_x; ++sx) {
          const float at_x = x0 + static_cast<float>(bx) * bin_width +
                             (static_cast<float>(sx) + 0.5f) * bin_width / static_cast<float>(samples_x);
          const Bilinear b(y, at_x, g.rows, g.columns);
          const float* p0 = x.row<float>(g.first_row + b.at[0]);
          const float* p1 = x.row<float>(g.first_row + b.at[1]);
          const float* p2 = x.row<float>(g.first_row + b.at[2]);
          const float* p3 = x.row<float>(g.first_row + b.at[3]);
          for (int64_t i = 0; i < n; ++i)
            to[i] += b.weight[0] * p0[i] + b.weight[1] * p1[i] + b.weight[2] * p2[i] + b.weight[3] * p3[i];
        }
      }
      for (int64_t i = 0; i < n; ++i) to[i] /= count;
    }
  }
}

// Where output i of n falls in a row of `size` samples: the first of four samples, and the fraction.
struct CubicAt {
  int64_t at[4];
  float weight[4];

  CubicAt(int i, int n, int64_t size) {
    const float scale = static_cast<float>(size) / static_cast<float>(n);
    const float centre = scale * (static_cast<float>(i) + 0.5f) - 0.5f;
    const float low = std::floor(centre);
    cubic_weights(centre - low, weight);
    for (int64_t j = 0; j < 4; ++j)
      at[j] = std::clamp<int64_t>(static_cast<int64_t>(low) - 1 + j, 0, size - 1);
  }
};

}  // namespace

void Backend::patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
                       const PatchNormalisation& normalisation) {
  contracts::patchify(out, pixels, slices, patch);
  float table[3][256];
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      table[c][v] = (static_cast<float>(v) / 255.0f - normalisation.mean[c]) / normalisation.deviation[c];
  int64_t first = 0;
  for (const PixelSlice& s : slices) {
    const uint8_t* from = pixels.data<uint8_t>() + s.offset;
    const int64_t columns = s.width / patch;
    pool_.parallel_for(s.height / patch, 1, [&](int64_t row, int64_t) {
      patchify_strip(out.row<float>(first + row * columns), out.row_stride(),
                     from + row * patch * s.width * 3, s.width, patch, table);
    });
    first += columns * (s.height / patch);
  }
}

void Backend::interpolate_positions(Tensor out, Tensor table, int h, int w) {
  contracts::interpolate_positions(out, table, h, w);
  const int64_t side = std::llround(std::sqrt(static_cast<double>(table.rows())));
  const int64_t n = table.dim(1);
  for_rows(out.rows(), 16 * n, [&](int64_t cell) {
    const CubicAt y(static_cast<int>(cell / w), h, side);
    const CubicAt x(static_cast<int>(cell % w), w, side);
    float* to = out.row<float>(cell);
    std::fill_n(to, n, 0.0f);
    for (int j = 0; j < 4; ++j) {
      const float* row[4];
      for (int i = 0; i < 4; ++i) row[i] = table.row<float>(y.at[j] * side + x.at[i]);
      for (int64_t c = 0; c < n; ++c)
        to[c] += y.weight[j] * (x.weight[0] * row[0][c] + x.weight[1] * row[1][c] + x.weight[2] * row[2][c] +
                                x.weight[3] * row[3][c]);
    }
  });
}

void Backend::region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) {
  contracts::region_align(out, x, grids);
  for (const AlignGrid& g : grids) {
    pool_.parallel_for(int64_t{g.window_rows} * g.window_columns, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        align_window(out, x, g, static_cast<int>(i / g.window_columns),
                     static_cast<int>(i % g.window_columns));
    });
  }
}

}  // namespace uhd::cpu
