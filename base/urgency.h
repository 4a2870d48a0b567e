// Urgency is one rule for all that waits, whether for steps, room, cutting or encoders.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace uhd {

struct Urgency {
  int priority = 0;   // lower goes first
  TimePoint since{};  // when it began to wait
};

// Returns the level of what waits, of which the lower goes first: its priority, improved by one for each
// second that it has waited, though never beyond `best`, the best priority that is there. So age alone puts
// nobody before others of the same priority, and in the end everybody reaches the best level.
inline int level_of(const Urgency& urgency, TimePoint now, int best) {
  const double waited = std::max(0.0, seconds(now - urgency.since));
  if (waited >= urgency.priority - best) return std::min(urgency.priority, best);
  return urgency.priority - static_cast<int>(waited);
}

// Returns true if `a` goes before `b`, whoever else is there.
inline bool more_urgent(const Urgency& a, const Urgency& b, TimePoint now) {
  const int best = std::min(a.priority, b.priority);
  return level_of(a, now, best) < level_of(b, now, best);
}

}  // namespace uhd
