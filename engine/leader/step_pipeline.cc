#include "engine/leader/step_pipeline.h"

#include <algorithm>

namespace uhd {

StepPipeline::StepPipeline(PlanChannel& plans, LlmWorker& worker, RequestTable& table, Duration deadline,
                           std::function<void(uint64_t step)> on_overdue)
    : plans_(plans),
      worker_(worker),
      table_(table),
      answered_(Clock::now() - std::chrono::hours(1)),
      watchdog_(deadline, std::move(on_overdue)) {}

PlannedStep StepPipeline::blank() {
  if (spare_.empty()) return {};
  PlannedStep step = std::move(spare_.back());
  spare_.pop_back();
  step.plan.placements.clear();
  step.plan.copies.clear();
  step.plan.choice = TokenChoice::greedy;
  step.plan.masked = false;
  step.plan.timed = false;
  step.batch = {};
  step.rows.clear();
  step.asked.clear();
  step.scores.clear();
  step.arrived.clear();
  step.decoding = 0;
  step.has_masks = false;
  step.shares_time = false;
  return step;
}

PlannedStep& StepPipeline::launch(PlannedStep step) {
  step.plan.number = ++number_;
  step.plan.kind = StepKind::compute;
  step.launched = Clock::now();
  for (const BatchItem& item : step.batch.items) step.decoding += item.decodes() ? 1 : 0;
  if (step.batch.scored > 0 && !under_way_.empty()) {
    under_way_.back().shares_time = step.shares_time = true;
  }
  under_way_.push_back(std::move(step));
  PlannedStep& launched = under_way_.back();
  watchdog_.started(launched.plan.number);
  table_.away([&] {
    send(launched.plan);
    launched.scores = worker_.launch(launched.plan, launched.arrived, launched.asked);
  });
  return launched;
}

// The host has the masks of tokens that it draws in their rows.
void StepPipeline::choose() {
  check(under_way_.size() == 1, "tokens of ", under_way_.size(), " steps are not known");
  const PlannedStep& step = under_way_.back();
  if (!step.plan.masked) return;
  choice_.number = step.plan.number;
  choice_.kind = StepKind::choose;
  RowMasks& masks = choice_.masks;
  masks.rows.clear();
  masks.words.clear();
  for (size_t i = 0; i < step.rows.size(); ++i) append_mask(static_cast<int32_t>(i), step.rows[i], masks);
  table_.away([&] {
    send(choice_);
    worker_.choose(masks);
  });
}

bool StepPipeline::full() const {
  if (under_way_.empty()) return false;
  return under_way_.size() > 1 || !worker_.may_stay_under_way(under_way_.back().plan);
}

FinishedStep StepPipeline::finish() {
  FinishedStep done;
  table_.away([&] { done.tokens = worker_.finish(under_way_.front().rows); });
  watchdog_.finished();
  done.step = std::move(under_way_.front());
  under_way_.pop_front();
  if (!under_way_.empty()) watchdog_.started(under_way_.front().plan.number);  // it has the device only now
  const TimePoint now = Clock::now();
  done.seconds = seconds(now - std::max(done.step.launched, answered_));
  answered_ = now;
  return done;
}

void StepPipeline::stop() {
  StepPlan plan;
  plan.kind = StepKind::stop;
  send(plan);
}

void StepPipeline::send(const StepPlan& plan) {
  plan_bytes_.clear();
  Writer{plan_bytes_}(plan);
  plans_.send(plan_bytes_);
}

}  // namespace uhd
