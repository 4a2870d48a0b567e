#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "model/vision/resize_rows.h"

namespace uhd {
namespace {

constexpr int kGroup = AxisFilter::kGroup;
constexpr int kLanes = AxisFilter::kLanes;
constexpr int kDigits = AxisFilter::kDigits;

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double lanczos(double x) {
  const auto sinc = [](double y) { return y == 0.0 ? 1.0 : std::sin(y) / y; };
  if (x < -3.0 || x >= 3.0) return 0.0;
  return sinc(x * std::numbers::pi) * sinc(x / 3.0 * std::numbers::pi);
}

int32_t fixed_point(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << AxisFilter::kPrecision));
}

// Splits the lowest signed digit off.
int8_t take_digit(int32_t& weight) {
  const auto digit = static_cast<int8_t>(weight & 255);
  weight = (weight - digit) / 256;
  return digit;
}

void split_weights(AxisFilter& filter) {
  filter.halves.resize(filter.weights.size() * 2);
  filter.digits.resize(filter.weights.size() * kDigits);
  for (size_t i = 0; i < filter.weights.size(); ++i) {
    int32_t weight = filter.weights[i];
    int16_t* group = &filter.halves[i / kGroup * 2 * kGroup];
    group[i % kGroup] = static_cast<int16_t>(weight >> 8);
    group[kGroup + i % kGroup] = static_cast<int16_t>(weight & 255);
    int8_t* digits = &filter.digits[i / kGroup * kDigits * kGroup];
    for (int d = kDigits - 1; d >= 0; --d) digits[d * kGroup + i % kGroup] = take_digit(weight);
  }
}

int groups_of(const AxisFilter& filter, int output) { return (filter.count[output] + kGroup - 1) / kGroup; }

// Outputs from `begin` on, as many as a block of that split takes.
AxisFilter::Block block_of(const AxisFilter& filter, int begin, int split) {
  const int step = split * kGroup;
  AxisFilter::Block block{.first = filter.first[begin], .outputs = 0, .split = split};
  int groups = 0, reach = 0;
  for (int i = begin; i < filter.outputs() && block.outputs < kLanes / split; ++i, ++block.outputs) {
    const int end = filter.first[i] - block.first + step;
    if (end > AxisFilter::kWindow) break;
    reach = end;
    groups = std::max(groups, groups_of(filter, i));
  }
  block.steps = (groups + split - 1) / split;
  block.steps_of_window = (AxisFilter::kWindow - reach) / step + 1;
  return block;
}

// About the cycles of one output: a step, a window and what each block costs beside them weigh alike.
double cost_of(const AxisFilter::Block& block) {
  const int windows = (block.steps + block.steps_of_window - 1) / block.steps_of_window;
  return static_cast<double>(block.steps + windows + (block.split > 1 ? 2 : 1)) / block.outputs;
}

AxisFilter::Block next_block(const AxisFilter& filter, int begin) {
  AxisFilter::Block best = block_of(filter, begin, 1);
  for (const int split : {2, 4}) {
    const AxisFilter::Block block = block_of(filter, begin, split);
    if (cost_of(block) < cost_of(best)) best = block;
  }
  return best;
}

void make_blocks(AxisFilter& filter) {
  for (int begin = 0; begin < filter.outputs(); begin += filter.blocks.back().outputs) {
    AxisFilter::Block block = next_block(filter, begin);
    block.weights = static_cast<int32_t>(filter.lane_digits.size());
    filter.blocks.push_back(block);
    filter.lane_digits.resize(filter.lane_digits.size() + size_t{kDigits} * kLanes * kGroup * block.steps);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int output = begin + std::min(lane / block.split, block.outputs - 1);
      const int part = lane % block.split;
      const int first = filter.first[output] - block.first + part * kGroup;
      for (int i = 0; i < kGroup; ++i) filter.lane_inputs.push_back(static_cast<uint8_t>(first + i));
      for (int group = part; group < groups_of(filter, output); group += block.split) {
        for (int d = 0; d < kDigits; ++d) {
          const size_t to = ((size_t{1} * (group / block.split) * kDigits + d) * kLanes + lane) * kGroup;
          const size_t from = (size_t{1} * output * filter.taps / kGroup + group) * kDigits + d;
          std::memcpy(&filter.lane_digits[block.weights + to], &filter.digits[from * kGroup], kGroup);
        }
      }
    }
  }
}

// `exact` has room for the taps.
void weigh(AxisFilter& filter, int output, double centre, double stretch, ResizeFilter kind,
           std::vector<double>& exact) {
  const int first = filter.first[output], count = filter.count[output];
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    const double at = (i + first - centre + 0.5) * (1.0 / stretch);
    exact[i] = kind == ResizeFilter::bicubic ? cubic(at) : lanczos(at);
    sum += exact[i];
  }
  for (int i = 0; i < count; ++i) {
    filter.weights[static_cast<size_t>(output) * filter.taps + i] =
        fixed_point(sum != 0.0 ? exact[i] / sum : exact[i]);
  }
}

void mirror(AxisFilter& filter, int in) {
  std::reverse(filter.first.begin(), filter.first.end());
  std::reverse(filter.count.begin(), filter.count.end());
  const int outputs = filter.outputs();
  for (int x = 0; x < outputs; ++x) filter.first[x] = in - filter.first[x] - filter.count[x];
  std::vector<int32_t> weights(filter.weights.size());
  for (int x = 0; x < outputs; ++x) {
    const int32_t* from = &filter.weights[static_cast<size_t>(outputs - 1 - x) * filter.taps];
    std::reverse_copy(from, from + filter.count[x], &weights[static_cast<size_t>(x) * filter.taps]);
  }
  filter.weights = std::move(weights);
}

// An axis that keeps its length: each output is its input.
AxisFilter copying_filter(int begin, int outputs) {
  AxisFilter filter{.taps = kGroup, .copies = true};
  filter.count.assign(outputs, 1);
  filter.weights.resize(static_cast<size_t>(outputs) * kGroup);
  for (int x = 0; x < outputs; ++x) {
    filter.first.push_back(begin + x);
    filter.weights[static_cast<size_t>(x) * kGroup] = 1 << AxisFilter::kPrecision;
  }
  return filter;
}

AxisFilter resizing_filter(int in, int64_t out, int begin, int outputs, ResizeFilter kind) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = (kind == ResizeFilter::bicubic ? 2.0 : 3.0) * stretch;
  AxisFilter filter;
  const int room = static_cast<int>(std::ceil(support)) * 2 + 1;
  filter.taps = (std::min(room, in) + kGroup - 1) / kGroup * kGroup;
  filter.first.resize(outputs);
  filter.count.resize(outputs);
  filter.weights.resize(static_cast<size_t>(outputs) * filter.taps);
  std::vector<double> exact(filter.taps);
  for (int x = 0; x < outputs; ++x) {
    const double centre = (begin + x + 0.5) * scale;
    const double low = centre - support + 0.5, high = centre + support + 0.5;
    filter.first[x] = std::max(static_cast<int>(low), 0);
    filter.count[x] = std::min(static_cast<int>(high), in) - filter.first[x];
    weigh(filter, x, centre, stretch, kind, exact);
  }
  return filter;
}

}  // namespace

AxisFilter make_axis_filter(int in, int64_t out, int begin, int outputs, bool mirrored, ResizeFilter kind) {
  AxisFilter filter =
      in == out ? copying_filter(begin, outputs) : resizing_filter(in, out, begin, outputs, kind);
  if (mirrored) mirror(filter, in);
  split_weights(filter);
  make_blocks(filter);
  return filter;
}

int crop_inputs(AxisFilter& filter) {
  const int first = filter.first.front();
  for (int32_t& input : filter.first) input -= first;
  for (AxisFilter::Block& block : filter.blocks) block.first -= first;
  return first;
}

}  // namespace uhd
