#include <algorithm>
#include <cmath>

#include "model/vision/siglip_encoder.h"

namespace uhd {
namespace {

// torch.arange(start, end, step) in float32 on a processor with 8 lanes: values are formed in double from the
// single-precision start of each run of eight, and directly after the last pair of full runs. Borders and
// fractions meet exactly for many sizes, so the last bit decides the bucket.
std::vector<float> single_range(double start, double end, double step) {
  constexpr int kRun = 8;
  const auto count = static_cast<int>(std::ceil((end - start) / step));
  const int in_runs = count / (2 * kRun) * (2 * kRun);
  std::vector<float> values(static_cast<size_t>(std::max(count, 0)));
  for (int i = 0; i < count; ++i) {
    const int first = i / kRun * kRun;
    const double base = static_cast<float>(start + step * first);
    values[static_cast<size_t>(i)] =
        static_cast<float>(i < in_runs ? base + step * (i - first) : start + step * i);
  }
  return values;
}

// i / n for each i below n, as a product in single precision, and never 1.
std::vector<float> equal_range(int n) {
  const float step = 1.0f / static_cast<float>(n);
  std::vector<float> values(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) {
    values[static_cast<size_t>(i)] = std::min(static_cast<float>(i) * step, 1.0f - 1e-6f);
  }
  return values;
}

// The bucket of each of `count` equally spaced fractions: how many borders are not above it. The published
// code divides by a tensor, so the step between fractions is rounded to single precision; that between
// borders is not.
std::vector<int32_t> buckets(int count, int side, bool equal_fractions) {
  const std::vector<float> borders = single_range(1.0 / side, 1.0, 1.0 / side);
  std::vector<int32_t> result;
  for (float fraction :
       equal_fractions ? equal_range(count) : single_range(0, 1 - 1e-6, 1.0f / static_cast<float>(count))) {
    result.push_back(
        static_cast<int32_t>(std::upper_bound(borders.begin(), borders.end(), fraction) - borders.begin()));
  }
  return result;
}

}  // namespace

std::vector<int32_t> bucket_positions(PatchGrid grid, int side, bool equal_fractions) {
  const auto rows = buckets(grid.rows, side, equal_fractions);
  const auto columns = buckets(grid.columns, side, equal_fractions);
  check(static_cast<int>(rows.size()) == grid.rows && static_cast<int>(columns.size()) == grid.columns,
        "buckets of a grid of ", grid.rows, "x", grid.columns);
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(grid.patches()));
  for (int32_t row : rows) {
    for (int32_t column : columns) ids.push_back(std::min(row, side - 1) * side + std::min(column, side - 1));
  }
  return ids;
}

}  // namespace uhd
