#include "engine/leader/timeline.h"

#include <algorithm>
#include <utility>

namespace uhd {

namespace {

constexpr double kLeastRun_s = 0.1;
constexpr double kRunShare = 0.01;

}  // namespace

void Timeline::add(TimelineSpan span, TimePoint begin, TimePoint end) {
  if (spans_ == kMostTimelineSpans) return;
  ++spans_;
  span.begin = seconds(begin - zero_);
  span.end = std::max(span.begin, seconds(end - zero_));
  listener_(span);
}

void Timeline::decoded(int answer, TimePoint begin, TimePoint end) {
  Run& run = runs_[static_cast<size_t>(answer)];
  if (run.tokens == 0) run.begin = begin;
  run.end = end;
  ++run.tokens;
  const double enough = std::max(kLeastRun_s, kRunShare * seconds(end - zero_));
  if (seconds(end - run.begin) >= enough) end_run(answer);
}

void Timeline::end_run(int answer) {
  const Run run = std::exchange(runs_[static_cast<size_t>(answer)], {});
  if (run.tokens == 0) return;
  add({.stage = Stage::decode, .answer = answer, .tokens = run.tokens}, run.begin, run.end);
}

}  // namespace uhd
