#include <algorithm>
#include <cmath>

#include "model/vision/resize_rows.h"

namespace uhd {
namespace {

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

int32_t fixed_point(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << AxisFilter::kPrecision));
}

void split_weights(AxisFilter& filter) {
  constexpr int kGroup = AxisFilter::kGroup;
  filter.halves.resize(filter.weights.size() * 2);
  for (size_t i = 0; i < filter.weights.size(); ++i) {
    int16_t* group = &filter.halves[i / kGroup * 2 * kGroup];
    group[i % kGroup] = static_cast<int16_t>(filter.weights[i] >> 8);
    group[kGroup + i % kGroup] = static_cast<int16_t>(filter.weights[i] & 255);
  }
}

}  // namespace

AxisFilter make_axis_filter(int in, int64_t out, int begin, int outputs) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  AxisFilter filter;
  const int room = static_cast<int>(std::ceil(support)) * 2 + 1;
  filter.taps = (std::min(room, in) + AxisFilter::kGroup - 1) / AxisFilter::kGroup * AxisFilter::kGroup;
  filter.first.resize(outputs);
  filter.count.resize(outputs);
  filter.weights.resize(static_cast<size_t>(outputs) * filter.taps);
  std::vector<double> exact(filter.taps);
  for (int x = 0; x < outputs; ++x) {
    const double centre = (begin + x + 0.5) * scale;
    const double low = centre - support + 0.5, high = centre + support + 0.5;
    const int first = std::max(static_cast<int>(low), 0);
    const int count = std::min(static_cast<int>(high), in) - first;
    double sum = 0;
    for (int i = 0; i < count; ++i) {
      exact[i] = cubic((i + first - centre + 0.5) * (1.0 / stretch));
      sum += exact[i];
    }
    for (int i = 0; i < count; ++i) {
      filter.weights[static_cast<size_t>(x) * filter.taps + i] =
          fixed_point(sum != 0.0 ? exact[i] / sum : exact[i]);
    }
    filter.first[x] = first;
    filter.count[x] = count;
  }
  split_weights(filter);
  return filter;
}

}  // namespace uhd
