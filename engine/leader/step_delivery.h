// Brings what a finished step has made to the requests that it was made for: tokens and their text, scores of
// prompts, spans of timelines.
#pragma once

#include <span>
#include <vector>

#include "base/clock.h"
#include "engine/leader/request_table.h"
#include "engine/leader/step_pipeline.h"
#include "engine/metrics.h"
#include "scheduler/scheduler.h"

namespace uhd {

// Used by the engine's thread, which holds the table's lock. References are borrowed. An exception of one
// request, or of its listener, ends that request, and the others get what is theirs. An exception that
// leaves from here is a fault of the leader, and the engine ends.
class StepDelivery {
 public:
  StepDelivery(Scheduler& scheduler, RequestTable& table, Metrics& metrics)
      : scheduler_(scheduler), table_(table), metrics_(metrics) {}

  // Completes the batch in the scheduler, too. A request whose last answer has ended is retired.
  void deliver(const FinishedStep& done);

 private:
  void note_spans(const FinishedStep& done, TimePoint now);
  void deliver_scores(const Batch& batch, std::span<const ScoredToken> scores);
  void complete(const FinishedStep& done);
  void deliver_token(const RequestTable::Place& place, const SampledToken& token, TimePoint now);
  void count_cached(LiveRequest& request);

  Scheduler& scheduler_;
  RequestTable& table_;
  Metrics& metrics_;
  std::vector<int32_t> ids_;           // the tokens of a step
  std::vector<SequenceId> sequences_;  // the sequence of each of these tokens
};

}  // namespace uhd
