// Gathers the spans of one request's timeline as they end.
#pragma once

#include <functional>
#include <vector>

#include "base/clock.h"
#include "engine/timeline.h"

namespace uhd {

// Used by the engine's thread. Only requests that asked for a timeline have one.
class Timeline {
 public:
  // `listener` is told each span when it ends. Seconds count from `zero`.
  Timeline(TimePoint zero, int answers, std::function<void(const TimelineSpan&)> listener)
      : zero_(zero), runs_(static_cast<size_t>(answers)), listener_(std::move(listener)) {}

  // Stage, image and so on are the given ones.
  void add(TimelineSpan span, TimePoint begin, TimePoint end);
  // A step drew one token of an answer. Such steps are told in runs: a run ends after a tenth of a second, or
  // after a hundredth of the request's time so far if that is more, so that long answers have few of them.
  void decoded(int answer, TimePoint begin, TimePoint end);
  // The answer has no more steps in this run.
  void end_run(int answer);

 private:
  struct Run {
    int tokens = 0;
    TimePoint begin, end;
  };
  TimePoint zero_;
  std::vector<Run> runs_;
  std::function<void(const TimelineSpan&)> listener_;
  int spans_ = 0;
};

}  // namespace uhd
