#include "app/least_seconds.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"

namespace uhd {
namespace {

constexpr size_t kFewest = 5, kMost = 100000;  // samples

double seconds_of(const std::function<void()>& call) {
  const TimePoint begin = Clock::now();
  call();
  return seconds(Clock::now() - begin);
}

double fifth_percentile(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 20];
}

}  // namespace

double least_seconds(double budget_s, const std::function<void()>& call) {
  call();
  std::vector<double> samples;
  const TimePoint end = Clock::now() + from_seconds(budget_s);
  while (samples.size() < kFewest || (Clock::now() < end && samples.size() < kMost))
    samples.push_back(seconds_of(call));
  return fifth_percentile(std::move(samples));
}

double least_seconds_together(Communicator& group, double budget_s, const std::function<void()>& call) {
  call();
  std::vector<double> samples;
  while (samples.size() < kFewest) samples.push_back(seconds_of(call));
  const double usual = std::max(1e-9, *std::min_element(samples.begin(), samples.end()));
  auto more = static_cast<int32_t>(std::min(budget_s / usual, static_cast<double>(kMost)));
  group.broadcast(Tensor(&more, DType::i32, {1}), 0);
  for (int32_t i = 0; i < more; ++i) samples.push_back(seconds_of(call));
  return fifth_percentile(std::move(samples));
}

}  // namespace uhd
