// The leader's loop, on the engine's thread: requests in, steps out to all LLM ranks, tokens back to their
// listeners.
#pragma once

#include <memory>
#include <thread>

#include "engine/cost.h"
#include "engine/leader/image_workers.h"
#include "engine/leader/leader_parts.h"
#include "engine/leader/leader_state.h"
#include "engine/leader/request_table.h"
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

  void take_mail();
  void arrive(std::unique_ptr<LiveRequest> request);
  void image_cut(CutImage cut);
  void want_slices(const LiveRequest& request, const CutImage& cut);
  CutRequest images_of(const LiveRequest& request) const;
  std::string cache_salt(const LiveRequest& request) const;
  std::optional<Fingerprint> cache_root(const LiveRequest& request) const;
  void count_cached(LiveRequest& request);
  void advance_images();
  void slice_ready(const VisualFlow::Ready& ready);

  bool step();
  bool probe_if_due();
  bool plan(PlannedStep& step);
  void note_schedule(const Batch& batch, TimePoint now);
  void plan_tokens(PlannedStep& step);
  SampleRow sample_row(const Sequence& sequence);
  void drop_rows_of_ended(PlannedStep& step);
  void deliver(FinishedStep done);
  void deliver(const RequestTable::Place& place, const SampledToken& token, TimePoint now);

  void release(const LiveRequest& request);
  void publish();

  LeaderParts& parts_;
  LeaderState& state_;
  Scheduler scheduler_;
  ImageWorkers images_;
  RequestTable table_;
  StepPipeline pipeline_;
  CostModel cost_;
  Work accepted_;  // of all live requests
  std::jthread thread_;
};

}  // namespace uhd
