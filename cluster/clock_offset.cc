#include "cluster/clock_offset.h"

#include <algorithm>

namespace uhd {

namespace {

constexpr size_t kExchanges = 8;
constexpr ClockStamp kOldest = 10'000'000'000;       // nanoseconds before the newest one: clocks drift
constexpr ClockStamp kLatest = ClockStamp{1} << 61;  // so that no difference of differences overflows

bool is_time(ClockStamp stamp) { return stamp > 0 && stamp < kLatest; }

}  // namespace

void ClockOffset::exchanged(TimePoint left_here, ClockStamp came_there, ClockStamp left_there,
                            TimePoint came_here) {
  if (!is_time(came_there) || !is_time(left_there)) return;
  const ClockStamp left = stamp_of(left_here), came = stamp_of(came_here);
  const int64_t delay = (came - left) - (left_there - came_there);
  if (left_there < came_there || came < left || delay < 0) return;
  exchanges_.push_back({(came_there - left) / 2 + (left_there - came) / 2, delay, came});
  std::erase_if(exchanges_, [&](const Exchange& old) { return came - old.came > kOldest; });
  if (exchanges_.size() > kExchanges) exchanges_.pop_front();
}

const ClockOffset::Exchange& ClockOffset::quickest() const {
  return *std::ranges::min_element(exchanges_, {}, &Exchange::delay);
}

TimePoint ClockOffset::here(ClockStamp there) const {
  const ClockStamp bounded = std::clamp<ClockStamp>(there, 0, kLatest);
  return TimePoint(std::chrono::nanoseconds(bounded - quickest().offset));
}

double ClockOffset::error() const { return static_cast<double>(quickest().delay) / 2e9; }

}  // namespace uhd
