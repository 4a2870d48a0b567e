// Measures what this machine can do at most, in the same run as the results that are compared with it.
#pragma once

#include <functional>
#include <string>

#include "base/thread_pool.h"

namespace uhd {

struct Roofs {
  double read_bytes = 0;  // bytes read from memory a second
  double bf16_flops = 0;  // operations a second; 0 if the processor does not multiply bfloat16
  double f32_flops = 0;
};

// Measures with the pool's threads, on the instruction set of that name.
Roofs measure_roofs(ThreadPool& pool, const std::string& isa);

// Returns the seconds of one call: the 5th percentile of many, so that the time of other processes is left
// out. With one thread it is the thread's own processor time, with more it is wall-clock time.
double best_seconds(int threads, const std::function<void()>& call, double budget_s = 0.4);

}  // namespace uhd
