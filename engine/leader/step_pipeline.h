// Steps on their way over all LLM ranks: each is launched, and finished in its order. On a device the next is
// launched while the last one runs, where it needs none of its tokens.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "cluster/encoders/watchdog.h"
#include "cluster/plan_channel.h"
#include "engine/leader/request_table.h"
#include "engine/llm/llm_worker.h"
#include "scheduler/batch.h"

namespace uhd {

// A step from its plan to its tokens. One with neither items nor placements is a probe.
struct PlannedStep {
  StepPlan plan;
  Batch batch;
  std::vector<SampleRow> rows;  // the host draws each token by these, where the plan leaves it to the host
  std::vector<ScoreRow> asked;  // rows that are scored, in the order of plan.input.score_at
  std::vector<ScoredToken> scores;  // set once the step is launched
  std::vector<Tensor> arrived;      // the visual rows that the plan places
  int decoding = 0;                 // sequences of the batch that decode
  bool has_masks = false;           // rows are masked
  // It ran beside another one, whose rows are a part of its time. A step that scores a prompt is done when it
  // was launched, and shares the time of the one that was under way.
  bool shares_time = false;
  TimePoint launched;
};

struct FinishedStep {
  PlannedStep step;
  std::vector<SampledToken> tokens;  // one for each sequence of the batch that samples
  double seconds = 0;                // the time since it had the ranks for itself
};

// Used by the engine's thread, which holds the table's lock and is away() from it while ranks work.
// References are borrowed. A fault of the ranks is thrown: the engine ends then.
class StepPipeline {
 public:
  // on_overdue(step) runs on a thread of its own: the step did not end in time, and nothing can save it.
  StepPipeline(PlanChannel& plans, LlmWorker& worker, RequestTable& table, Duration deadline,
               std::function<void(uint64_t step)> on_overdue);

  // Runs first steps, before there are requests.
  void warm_up() { worker_.warm_up(watchdog_); }

  // A blank step, with the memory of one that ended.
  PlannedStep blank();
  void recycle(PlannedStep step) { spare_.push_back(std::move(step)); }
  // Numbers the step and sends it to all ranks. The result is valid until it is finished.
  PlannedStep& launch(PlannedStep step);
  // Sends the masks of the step launched last, which is the only one under way, if it waits for some.
  void choose();
  // Returns whether the oldest step must be finished before another is launched.
  bool full() const;
  bool empty() const { return under_way_.empty(); }
  size_t under_way() const { return under_way_.size(); }
  // Waits for the oldest step.
  FinishedStep finish();
  // Tells the other ranks that there are no more steps.
  void stop();

  // Returns when the ranks last finished a step.
  TimePoint answered() const { return answered_; }
  // From any thread: whether they did so within this time.
  bool answered_within(Duration limit) const { return watchdog_.answered_within(limit); }

 private:
  void send(const StepPlan& plan);

  PlanChannel& plans_;
  LlmWorker& worker_;
  RequestTable& table_;
  std::deque<PlannedStep> under_way_;
  std::vector<PlannedStep> spare_;
  StepPlan choice_;
  std::vector<std::byte> plan_bytes_;
  uint64_t number_ = 0;
  TimePoint answered_;
  Watchdog watchdog_;
};

}  // namespace uhd
