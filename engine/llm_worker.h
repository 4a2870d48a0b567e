// Carries out step plans on one LLM rank: the leader's and the others' alike.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/plan_channel.h"
#include "engine/step.h"
#include "engine/visual_store.h"
#include "model/language/llama.h"
#include "model/language/sampler.h"

namespace uhd {

// What every LLM rank sizes its memory by; equal on all of them.
struct WorkerSizes {
  StepLimits step;
  int pages = 0;           // of the scheduler; the cache has one more, for probes
  int visual_rows = 0;     // of the visual store
  int max_piece_rows = 0;  // of one slice
  DType kv = DType::bf16;
};

// Used by one thread. Backend and communicator are borrowed.
class LlmWorker {
 public:
  LlmWorker(std::unique_ptr<Llama> llama, Backend& backend, Communicator& group, int vocabulary,
            const WorkerSizes& sizes);

  // Leader: `pieces` are the rows to place, in the order of plan.placements, and `rows` say how the step's
  // samples are drawn. Returns one token per sampling sequence. Other ranks pass nothing and use nothing.
  std::vector<SampledToken> run(const StepPlan& plan, std::span<const Tensor> pieces,
                                std::span<const SampleRow> rows);

  // Other ranks: carries out plans until the leader says stop. A lost leader is an Error.
  void follow(PlanChannel& plans);

 private:
  void place(const StepPlan& plan, std::span<const Tensor> pieces);

  Backend& backend_;
  Communicator& group_;
  std::unique_ptr<Llama> llama_;
  Sampler sampler_;
  KvCache cache_;
  VisualStore store_;
  DeviceBuffer incoming_;  // one slice's rows on their way to the store
  Workspace workspace_;
  int hidden_;
};

}  // namespace uhd
