// Measures what sums and transfers between ranks take.
#pragma once

#include <cstdint>

#include "cluster/communicator.h"

namespace uhd {

constexpr int64_t kStepSumBytes = int64_t{16} << 10;  // a decode step of one sequence, 4096 wide in f32
constexpr int64_t kLargeBytes = int64_t{4} << 20;

struct LinkTimes {
  int ranks = 0;
  int hosts = 1;
  bool threads = false;  // of one process, which stand for ranks
  double step_sum_s = 0;
  double large_sum_s = 0;
  double transfer_s = 0;  // of kLargeBytes, one way, between the first and the last rank

  // Returns the bytes a second that each rank sends in a large sum.
  double sum_speed() const;
};

// The call is collective over the group, which has two ranks at least; each rank gets its own times.
LinkTimes measure_links(Communicator& group, double budget_s);

// Does the same between two threads of this process.
LinkTimes measure_links_of_threads(double budget_s);

}  // namespace uhd
