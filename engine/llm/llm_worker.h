// Carries out step plans on one LLM rank: the leader's and the others' alike.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/encoders/watchdog.h"
#include "cluster/plan_channel.h"
#include "engine/llm/decode_graphs.h"
#include "engine/llm/visual_store.h"
#include "engine/step.h"
#include "model/language/llama.h"
#include "model/language/sampler.h"

namespace uhd {

// What every LLM rank sizes its memory by; equal on all of them.
struct WorkerSizes {
  StepLimits step;         // the context: never more than the pages hold
  int pages = 0;           // of the scheduler; the cache has one more, for probes
  int visual_rows = 0;     // of the visual store
  int max_piece_rows = 0;  // of one slice
  DType kv = DType::bf16;
  bool overlap = true;  // EngineOptions::overlap
};

// Used by one thread. Backend and communicator are borrowed.
class LlmWorker {
 public:
  // Takes all of its memory but that of the pages, whose number need not be known yet.
  LlmWorker(std::unique_ptr<Llama> llama, Backend& backend, Communicator& group, int vocabulary,
            const WorkerSizes& sizes);
  ~LlmWorker() { settle(); }
  LlmWorker(const LlmWorker&) = delete;
  LlmWorker& operator=(const LlmWorker&) = delete;
  // Before the first step. The context becomes what the pages hold, where that is less.
  void take_pages(int pages);
  const WorkerSizes& sizes() const { return sizes_; }

  // On a device: steps of every kind and size, so that what only a first use makes (recordings, plans of
  // products, code, connections of ranks) is made before there are requests, and what it takes of the device
  // is told in the log. Collective over the group. Nothing on the host.
  void warm_up(Watchdog& watchdog);

  // Queues a step on the device and waits for nothing. Leader: `arrived` are the rows to place, in the order
  // of plan.placements; other ranks pass none.
  void launch(const StepPlan& plan, std::span<const Tensor> arrived);
  // The tokens of the oldest step that was launched and not finished, one per sampling sequence. Leader:
  // `rows` say how the host draws them, where the plan leaves it to the host; other ranks pass nothing and
  // use nothing.
  std::vector<SampledToken> finish(std::span<const SampleRow> rows);
  // Waits until nothing is left on the device, or until the group gives up what a lost rank does not do: only
  // then can memory be freed, for that waits for the device without an end.
  void settle() noexcept;
  // Whether a step may stay unfinished while the next is launched; if not, it is finished first.
  bool may_stay_under_way(const StepPlan& plan) const;

  // Other ranks: warms up, then carries out plans until the leader says stop. A lost leader is an Error, and
  // so is one that sends no plan for `silence` while nothing is under way. The watchdog is told of each step,
  // as the leader's is.
  void follow(PlanChannel& plans, Watchdog& watchdog, Duration silence);

 private:
  void place(const StepPlan& plan, std::span<const Tensor> arrived);
  void compute(const StepPlan& plan);
  std::vector<StepPlan> first_steps() const;
  void finish_watched(Watchdog& watchdog);

  Backend& backend_;
  Communicator& group_;
  WorkerSizes sizes_;
  std::unique_ptr<Llama> llama_;
  Sampler sampler_;
  VisualStore store_;
  DeviceBuffer incoming_;  // one slice's rows on their way to the store
  Workspace workspace_;
  std::optional<Workspace::Scope> step_;  // of the last step: until the next is launched
  std::optional<KvCache> cache_;
  std::optional<DecodeGraphs> graphs_;
  struct Launched {
    uint64_t number = 0;
    bool samples = false;
  };
  std::deque<Launched> launched_;  // and not finished
  int hidden_;
  bool overlap_;
};

}  // namespace uhd
