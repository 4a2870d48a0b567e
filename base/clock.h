// This file defines the program's monotonic clock. The scheduler receives the time as an argument and never
// reads a clock.
#pragma once

#include <chrono>

namespace uhd {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline Duration from_seconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s));
}

}  // namespace uhd
