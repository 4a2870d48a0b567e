// Waits for something that must be polled: awake at first, then in growing sleeps.
#pragma once

#include <algorithm>
#include <thread>

#include "base/clock.h"

namespace uhd {

// Call once() between two looks. A busy neighbour is answered within microseconds; after some time without
// news the sleeps grow to 1 ms, so that an idle rank costs next to nothing.
class IdleWait {
 public:
  void once() {
    if (Clock::now() - began_ < kAwake) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(sleep_ * 2, kLongest);
  }
  Duration waited() const { return Clock::now() - began_; }

 private:
  static constexpr Duration kAwake = std::chrono::microseconds(200);
  static constexpr Duration kLongest = std::chrono::milliseconds(1);
  TimePoint began_ = Clock::now();
  Duration sleep_ = std::chrono::microseconds(20);
};

}  // namespace uhd
