// Measures how far the clock of another rank is ahead of this one's, from messages that both send anyway.
//
// It takes the four times of an exchange, as NTP does (RFC 5905, section 8): a message left here, came there,
// its answer left there, and came here. The offset is ((came there - left here) + (left there - came here))
// / 2, and it is wrong by half of the time that both messages were on their way, at most. The quickest of the
// last eight exchanges counts (the clock filter of section 10), of those within ten seconds, so that clocks
// may drift.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace uhd {

// A time by the clock of some rank, in nanoseconds; 0 says that it is unknown.
using ClockStamp = int64_t;

inline ClockStamp stamp_of(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// Not thread-safe. Stamps may come from anybody: an exchange that cannot have been is left out.
class ClockOffset {
 public:
  void exchanged(TimePoint left_here, ClockStamp came_there, ClockStamp left_there, TimePoint came_here);
  bool known() const { return !exchanges_.empty(); }
  // Returns what this rank's clock shows at a time of the other's. Needs known().
  TimePoint here(ClockStamp there) const;
  // Returns by how much here() is wrong at most, in seconds.
  double error() const;

 private:
  struct Exchange {
    int64_t offset = 0;   // nanoseconds that the other clock is ahead
    int64_t delay = 0;    // nanoseconds that both messages took together
    ClockStamp came = 0;  // the time of the arrival here, by this clock
  };
  const Exchange& quickest() const;

  std::deque<Exchange> exchanges_;  // the last ones
};

}  // namespace uhd
