#include "app/link_times.h"

#include <thread>
#include <vector>

#include "app/least_seconds.h"
#include "cluster/host/local_communicator.h"

namespace uhd {
namespace {

constexpr int kSumsOfSample = 20;  // so that a rank that comes late, and waits for nobody, counts for little

// The values are zeros, which stay what they are however often they are summed.
std::vector<float> zeros(int64_t bytes) { return std::vector<float>(static_cast<size_t>(bytes) / 4); }

Tensor floats(std::vector<float>& values) {
  return {values.data(), DType::f32, {static_cast<int64_t>(values.size())}};
}

double sum_seconds(Communicator& group, int64_t bytes, double budget_s) {
  std::vector<float> values = zeros(bytes);
  const auto sums = [&] {
    for (int i = 0; i < kSumsOfSample; ++i) group.all_reduce(floats(values));
  };
  return least_seconds_together(group, budget_s, sums) / kSumsOfSample;
}

// The rows go there and back, because one clock alone cannot tell when they have come.
double transfer_seconds(Communicator& group, int64_t bytes, double budget_s) {
  std::vector<float> values = zeros(bytes);
  const int last = group.size() - 1;
  const auto there_and_back = [&] {
    if (group.rank() == 0) {
      group.send(floats(values), last);
      group.receive(floats(values), last);
    } else if (group.rank() == last) {
      group.receive(floats(values), 0);
      group.send(floats(values), 0);
    }
  };
  return least_seconds_together(group, budget_s, there_and_back) / 2;
}

}  // namespace

double LinkTimes::sum_speed() const {
  return 2.0 * (ranks - 1) / ranks * static_cast<double>(kLargeBytes) / large_sum_s;
}

LinkTimes measure_links(Communicator& group, double budget_s) {
  LinkTimes times{.ranks = group.size()};
  times.step_sum_s = sum_seconds(group, kStepSumBytes, budget_s);
  times.large_sum_s = sum_seconds(group, kLargeBytes, budget_s);
  times.transfer_s = transfer_seconds(group, kLargeBytes, budget_s);
  return times;
}

LinkTimes measure_links_of_threads(double budget_s) {
  const auto ranks = make_local_communicators(2);
  const std::jthread other([&] { measure_links(*ranks[1], budget_s); });
  LinkTimes times = measure_links(*ranks[0], budget_s);
  times.threads = true;
  return times;
}

}  // namespace uhd
