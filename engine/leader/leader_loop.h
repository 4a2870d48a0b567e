// The leader's loop: requests in, steps out to all LLM ranks, tokens back to their listeners.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cluster/device_transport.h"
#include "cluster/encoders/watchdog.h"
#include "cluster/plan_channel.h"
#include "engine/engine.h"
#include "engine/leader/image_workers.h"
#include "engine/leader/mailbox.h"
#include "engine/leader/request_memory.h"
#include "engine/llm/llm_worker.h"
#include "engine/metrics.h"
#include "engine/slices/visual_flow.h"
#include "scheduler/scheduler.h"

namespace uhd {

// What a leader is made of; members are released from the last to the first.
struct LeaderParts {
  std::shared_ptr<void> ranks;  // followers and encoders that are threads of this process
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  EngineOptions options;
  double step_deadline_s = 120;
  ModelConfig config;
  ModelInfo info;
  std::string identity;  // of checkpoint and preprocessing: part of every cache key
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Intake> intake;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Backend> backend;
  std::shared_ptr<DeviceTransport> transport;  // null where the backend has none
  std::unique_ptr<Communicator> group;         // of the backend's memory
  std::unique_ptr<PlanChannel> plans;
  std::unique_ptr<LlmWorker> worker;
  WorkerSizes sizes;
  std::unique_ptr<ControlServer> server;  // null without encoder ranks
  std::unique_ptr<RowBuffers> buffers;    // these three: null without vision
  std::unique_ptr<SliceEncoders> encoders;
  std::unique_ptr<VisualFlow> visual;
  std::function<void()> on_lost;  // after the streams were ended because ranks are lost; may be empty
};

// What goes wrong with one request ends that request, with a message that says nothing of the inside; the
// log has the rest. Only what the ranks' steps need ends the engine: then every stream ends with an error.
class LeaderLoop final : public Engine {
 public:
  // Runs first steps on all ranks; a rank that does not answer is an Error.
  explicit LeaderLoop(LeaderParts parts);
  // Ends running requests as cancelled and tells the other LLM ranks to stop.
  ~LeaderLoop() override;

  const ModelInfo& model() const override { return parts_.info; }
  std::variant<Accepted, Failure> submit(Request request, TokenSink sink) override;
  void cancel(RequestId id) override { parts_.mailbox->post(CancelRequest{id}); }
  EngineStats stats() const override;
  std::string metrics_text() const override;
  void drain() override { draining_ = true; }
  bool idle() const override { return live_count_ == 0; }
  std::vector<int32_t> tokenize(const std::string& text, bool add_special) const override;
  std::string detokenize(const std::vector<int32_t>& ids) const override;

  // From any thread: ranks are lost, and a step under way may never end. Every stream ends with an error.
  void ranks_lost(const std::string& reason);

 private:
  using Lock = std::unique_lock<std::mutex>;

  std::optional<Failure> take_place();
  Failure full(const char* message) const;
  std::variant<Accepted, Failure> accept(Request request, TokenSink sink);
  std::variant<Accepted, Failure> queue(Request request, PlannedRequest plan, TokenSink sink);
  std::shared_ptr<void> take_memory(PlannedRequest& planned);
  uint64_t seed_of(const SamplingParams& sampling, RequestId id) const;
  CutRequest images_of(const LiveRequest& request) const;

  void run(const std::stop_token& stop);
  void take_mail();
  void arrive(std::unique_ptr<LiveRequest> request);
  void images_cut(CutImages cut);
  void want_slices(LiveRequest& request, const CutSlices& slices);
  void advance_images();
  void slice_ready(const VisualFlow::Ready& ready);
  // A step that was launched.
  struct Step {
    uint64_t number = 0;
    Batch batch;  // no items: a probe, or visual rows alone
    int decoding = 0;
    TimePoint launched;
  };
  bool step(Lock& lock);
  bool probe_if_due(Lock& lock);
  void note_schedule(const Batch& batch, TimePoint now);
  void make_plan(const Batch& batch);
  SampleRow sample_row(const Sequence& sequence);
  void launch(Batch batch, std::span<const Tensor> pieces, Lock& lock);
  void finish_oldest(Lock& lock);
  void deliver(const Step& step, const std::vector<SampledToken>& tokens);
  void deliver(LiveRequest& request, const SampledToken& token, TimePoint now);
  void wait();
  void publish();

  // Does something for one request: an exception ends it, and nothing else.
  template <class Work>
  void guarded(RequestId id, const Work& work);
  void end(RequestId id, FinishReason reason, std::optional<Failure> failure);
  void retire(RequestId id);
  void end_all(FinishReason reason, const std::optional<Failure>& failure);
  void fail(const std::string& reason);

  LeaderParts parts_;
  Scheduler scheduler_;
  RequestMemory memory_;
  ImageWorkers images_;

  // Held by the engine's thread except while a step runs; else by the watchdog, when that step never ends.
  std::mutex streams_;
  std::unordered_map<RequestId, std::unique_ptr<LiveRequest>> live_;

  std::deque<Step> under_way_;  // one between calls of step(), and only of those that may stay
  StepPlan plan_;
  std::vector<std::byte> plan_bytes_;
  std::vector<SampleRow> rows_;
  bool decoding_ = false;  // sequences decode: what runs between steps must be short
  uint64_t step_number_ = 0;
  TimePoint last_step_;

  std::atomic<uint64_t> last_id_{0};
  std::atomic<int> live_count_{0};  // accepted and not ended
  std::atomic<bool> draining_{false};
  std::atomic<bool> failed_{false};
  std::atomic<int> running_{0}, free_pages_{0}, encoders_{0}, slices_queued_{0};
  std::atomic<double> usual_seconds_{1};  // of a request: what Retry-After is made of

  Watchdog watchdog_;
  std::jthread thread_;
};

}  // namespace uhd
