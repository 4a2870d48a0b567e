// Holds what is recorded of one traced request. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cluster/plan_channel.h"
#include "engine/timeline.h"
#include "engine/trace_context.h"

namespace uhd {

// A step that the request took part in, on the leader's rank.
struct TracedStep {
  uint64_t number = 0;
  TimePoint begun;
  TimePoint ended;
  int rows = 0;  // rows of all requests
};

// The same step on another LLM rank, by that rank's clock.
struct RankStep {
  int rank = 0;
  StepReport report;
};

struct TraceRecord {
  uint64_t request = 0;  // RequestId
  std::string name;      // the request's id, as in the log
  TraceContext context;
  TimePoint zero;       // the seconds of spans count from here
  int64_t unix_us = 0;  // the same by the clock of the wall
  TimePoint ended{};
  std::string finish;
  std::vector<TimelineSpan> spans;  // kMostTimelineSpans at most
  std::vector<TracedStep> steps;    // kMostTracedSteps at most, in order
  std::vector<RankStep> rank_steps;
};

inline constexpr size_t kMostTracedSteps = 4096;
inline constexpr size_t kMostRankSteps = 16384;

}  // namespace uhd
