// The leader's loop, on the engine's thread: requests in, steps out to all LLM ranks, tokens back to their
// listeners.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "engine/cost.h"
#include "engine/leader/gap_budget.h"
#include "engine/leader/image_workers.h"
#include "engine/leader/leader_parts.h"
#include "engine/leader/leader_report.h"
#include "engine/leader/leader_state.h"
#include "engine/leader/request_table.h"
#include "engine/leader/step_delivery.h"
#include "engine/leader/step_pipeline.h"
#include "scheduler/scheduler.h"

namespace uhd {

// A fault of one request ends that request, with a message that says nothing of the inside; the log has the
// rest. Only what the ranks' steps need ends the engine: then every stream ends with an error. References are
// borrowed.
class LeaderLoop {
 public:
  // Runs first steps on all ranks; a rank that does not answer is an Error.
  LeaderLoop(LeaderParts& parts, LeaderState& state);
  // Ends running requests as cancelled and tells the other LLM ranks to stop.
  ~LeaderLoop();

  // From any thread: ranks are lost, and a step under way may never end. Every stream ends with an error.
  void ranks_lost(const std::string& reason) { table_.fail(reason); }
  // From any thread: whether the ranks finished a step within this time.
  bool answered_within(Duration limit) const { return pipeline_.answered_within(limit); }

 private:
  void run(const std::stop_token& stop);
  bool turn();
  void wait();

  void advance_traces();
  void take_mail();
  void arrive(std::unique_ptr<LiveRequest> request);
  void image_cut(CutImage cut);
  void want_slices(LiveRequest& request, const CutImage& cut);
  int covered_tokens(const LiveRequest& request);
  void want_what_was_left_out();
  CutRequest images_of(const LiveRequest& request) const;
  void tell_cached(CacheQuestion question) const;
  bool advance_images();
  void slice_ready(const VisualFlow::Ready& ready);

  bool step();
  bool probe_if_due();
  bool plan(PlannedStep& step);
  void note_schedule(const Batch& batch, TimePoint now);
  static void note(LiveRequest& request, const TimelineSpan& span, TimePoint begin, TimePoint end);
  static void note_slice(LiveRequest& request, const VisualFlow::Ready& ready);
  void plan_tokens(PlannedStep& step);
  SampleRow sample_row(const Sequence& sequence);
  void ask_scores(const BatchItem& item, std::vector<ScoreRow>& asked);
  void drop_rows_of_ended(PlannedStep& step);
  void choose_late(PlannedStep& step);
  void mask_rows(PlannedStep& step);
  void finish_step();
  void measure(const FinishedStep& done);

  void release(const LiveRequest& request);
  void count_cost(const LiveRequest& request);
  bool ended_by_deadline(LiveRequest& request);

  LeaderParts& parts_;
  LeaderState& state_;
  Scheduler scheduler_;
  ImageWorkers images_;
  RequestTable table_;
  StepDelivery delivery_;
  StepPipeline pipeline_;
  CostModel cost_;
  GapBudget gaps_;
  LeaderReport report_;
  Work accepted_;                                 // the work of all live requests
  std::set<std::pair<RequestId, int>> left_out_;  // images with slices that were left out (VisualFlow::want)
  std::jthread thread_;
};

}  // namespace uhd
