// The LlmWorker carries out step plans on one LLM rank, on the leader and on the others alike.
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

// Every LLM rank sizes its memory by these, which are equal on all of them.
struct WorkerSizes {
  StepLimits step;         // its context is never more than the pages hold
  int pages = 0;           // the scheduler's pages; the cache has one more, for probes
  int visual_rows = 0;     // rows of the visual store
  int max_piece_rows = 0;  // the most rows of one slice
  DType kv = DType::bf16;
  bool overlap = true;  // EngineOptions::overlap
};

// One thread uses the worker. Backend and communicator are borrowed.
class LlmWorker {
 public:
  // Takes all of its memory except that of the pages, whose number need not be known yet. Steps take theirs
  // from `shared`, which becomes larger by that, if there is one: its other user and the steps take turns.
  LlmWorker(std::unique_ptr<Llama> llama, Backend& backend, Communicator& group, int vocabulary,
            const WorkerSizes& sizes, std::shared_ptr<Workspace> shared = nullptr);
  ~LlmWorker() { settle(); }
  LlmWorker(const LlmWorker&) = delete;
  LlmWorker& operator=(const LlmWorker&) = delete;
  // Takes the pages; call it before the first step. If the pages hold less than the context, they become the
  // context.
  void take_pages(int pages);
  const WorkerSizes& sizes() const { return sizes_; }

  // Runs steps of every kind and size on a device, so that the things that only a first use makes
  // (recordings, plans of products, code, connections of ranks) are made before there are requests; the log
  // tells how much of the device they take. The call is collective over the group. It does nothing on the
  // host.
  void warm_up(Watchdog& watchdog);

  // Queues a step on the device and waits for nothing but scores. Leader: `arrived` are the rows to place, in
  // the order of plan.placements, and `scored` says what plan.input.score_at is asked, which is the result;
  // other ranks pass none and get none.
  std::vector<ScoredToken> launch(const StepPlan& plan, std::span<const Tensor> arrived,
                                  std::span<const ScoreRow> scored = {});
  // Queues the choice of tokens of the step launched last, whose plan is masked. Every rank gives the same
  // masks, before it launches another step.
  void choose(const RowMasks& masks);
  // The tokens of the oldest step that was launched and not finished, one per sampling sequence. Leader:
  // `rows` say how the host draws them, where the plan leaves it to the host; other ranks pass nothing and
  // use nothing.
  std::vector<SampledToken> finish(std::span<const SampleRow> rows);
  // Waits until nothing is left on the device, or until the group gives up the work that a lost rank does not
  // do. Only then can memory be freed, because freeing waits for the device without an end.
  void settle() noexcept;
  // Returns true if a step may stay unfinished while the next is launched; otherwise it is finished first.
  bool may_stay_under_way(const StepPlan& plan) const;

  // Runs a rank that is not the leader: warms up, then carries out plans until the leader says stop. A lost
  // leader is an Error, and so is one that sends no plan for `silence` while nothing is under way. The
  // watchdog is told of each step, as the leader's is.
  void follow(PlanChannel& plans, Watchdog& watchdog, Duration silence);

 private:
  void place(const StepPlan& plan, std::span<const Tensor> arrived);
  void copy_pages(const std::vector<PageCopy>& copies);
  std::vector<ScoredToken> compute(const StepPlan& plan, std::span<const ScoreRow> scored);
  std::vector<ScoredToken> score(Tensor rows, std::span<const ScoreRow> asked);
  std::vector<StepPlan> first_steps() const;
  void finish_watched(PlanChannel& plans, Watchdog& watchdog, size_t stay);

  Backend& backend_;
  Communicator& group_;
  WorkerSizes sizes_;
  std::unique_ptr<Llama> llama_;
  Sampler sampler_;
  VisualStore store_;
  DeviceBuffer incoming_;  // one slice's rows on their way to the store
  std::shared_ptr<Workspace> workspace_;
  // It holds the memory of steps until the next is launched, or none is under way.
  std::optional<Workspace::Scope> step_;
  std::optional<KvCache> cache_;
  std::optional<DecodeGraphs> graphs_;
  // The logits that choose() chooses from, in the memory of its step.
  struct Unchosen {
    Tensor logits, draws;
    int64_t samples = 0;
  };
  struct Launched {
    uint64_t number = 0;
    bool samples = false;
    bool timed = false;
    std::optional<Unchosen> unchosen{};  // of a step that waits for choose()
  };
  std::deque<Launched> launched_;  // steps that are launched and not finished
  // Returns how many of them wait for choose(), which none but the newest does.
  size_t unchosen() const { return !launched_.empty() && launched_.back().unchosen ? 1 : 0; }
  ClockStamp busy_until_ = 0;     // a step that is timed begins no earlier
  std::deque<StepReport> timed_;  // a follower's reports of launched steps that are timed and have not ended
  int hidden_;
  bool overlap_;
};

}  // namespace uhd
