// Places and weighs the samples of the two grid operations, for all backends.
#pragma once

#include <cstdint>

#include "kernels/math.h"
#include "kernels/operations.h"

namespace uhd {

// A Bilinear holds the four neighbours of a point and their weights, as RoIAlign defines them; weights are
// zero outside the grid.
struct Bilinear {
  int64_t at[4] = {0, 0, 0, 0};
  float weight[4] = {0, 0, 0, 0};

  UHD_DEVICE_FUNCTION Bilinear(float y, float x, int rows, int columns) {
    if (y < -1.0f || y > static_cast<float>(rows) || x < -1.0f || x > static_cast<float>(columns)) return;
    const Pair r = neighbours(y, rows), c = neighbours(x, columns);
    at[0] = int64_t{r.low} * columns + c.low;
    at[1] = int64_t{r.low} * columns + c.high;
    at[2] = int64_t{r.high} * columns + c.low;
    at[3] = int64_t{r.high} * columns + c.high;
    weight[0] = (1.0f - r.fraction) * (1.0f - c.fraction);
    weight[1] = (1.0f - r.fraction) * c.fraction;
    weight[2] = r.fraction * (1.0f - c.fraction);
    weight[3] = r.fraction * c.fraction;
  }

 private:
  struct Pair {
    int low;
    int high;
    float fraction;
  };
  UHD_DEVICE_FUNCTION static Pair neighbours(float v, int size) {
    v = v > 0.0f ? v : 0.0f;
    const int low = static_cast<int>(v);
    if (low >= size - 1) return {size - 1, size - 1, 0.0f};
    return {low, low + 1, v - static_cast<float>(low)};
  }
};

// An AlignWindow is one window of an AlignGrid: its bins and their samples. Borders are computed in double
// and then kept as float.
struct AlignWindow {
  int samples_y, samples_x;

  UHD_DEVICE_FUNCTION AlignWindow(const AlignGrid& g, int window_row, int window_column)
      : y0_(border(window_row, g.rows, g.window_rows)),
        x0_(border(window_column, g.columns, g.window_columns)) {
    const float height = at_least_one(border(window_row + 1, g.rows, g.window_rows) - y0_);
    const float width = at_least_one(border(window_column + 1, g.columns, g.window_columns) - x0_);
    bin_height_ = height / static_cast<float>(g.bin_rows);
    bin_width_ = width / static_cast<float>(g.bin_columns);
    samples_y = static_cast<int>(std::ceil(bin_height_));
    samples_x = static_cast<int>(std::ceil(bin_width_));
  }

  UHD_DEVICE_FUNCTION float samples() const {
    const int count = samples_y * samples_x;
    return static_cast<float>(count > 1 ? count : 1);
  }
  UHD_DEVICE_FUNCTION float y(int bin, int sample) const {
    return y0_ + static_cast<float>(bin) * bin_height_ +
           (static_cast<float>(sample) + 0.5f) * bin_height_ / static_cast<float>(samples_y);
  }
  UHD_DEVICE_FUNCTION float x(int bin, int sample) const {
    return x0_ + static_cast<float>(bin) * bin_width_ +
           (static_cast<float>(sample) + 0.5f) * bin_width_ / static_cast<float>(samples_x);
  }

 private:
  UHD_DEVICE_FUNCTION static float border(int index, int size, int windows) {
    return static_cast<float>(static_cast<double>(index) * (static_cast<double>(size) / windows));
  }
  UHD_DEVICE_FUNCTION static float at_least_one(float v) { return v > 1.0f ? v : 1.0f; }

  float y0_, x0_, bin_height_, bin_width_;
};

// A CubicAt says where output i of n falls in a row of `size` samples: four samples and their weights.
struct CubicAt {
  int64_t at[4];
  float weight[4];

  UHD_DEVICE_FUNCTION CubicAt(int i, int n, int64_t size) {
    const float scale = static_cast<float>(size) / static_cast<float>(n);
    const float centre = scale * (static_cast<float>(i) + 0.5f) - 0.5f;
    const float low = std::floor(centre);
    cubic_weights(centre - low, weight);
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t sample = static_cast<int64_t>(low) - 1 + j;
      at[j] = sample < 0 ? 0 : sample >= size ? size - 1 : sample;
    }
  }
};

}  // namespace uhd
