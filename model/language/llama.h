// The language model: Llama, Mistral, Qwen2 and Qwen3 in one, tensor-parallel by construction. A rank holds
// its heads, its part of the MLP and its rows of the vocabulary; a layer has exactly two all-reduces, at its
// two row-parallel linears.
#pragma once

#include <vector>

#include "cluster/communicator.h"
#include "kernels/backend.h"
#include "kernels/workspace.h"
#include "model/config.h"
#include "model/language/forward_input.h"
#include "model/language/kv_cache.h"
#include "model/language/step_inputs.h"
#include "model/observer.h"
#include "model/weights/loader.h"
#include "model/weights/shard.h"

namespace uhd {

// The largest step that a Workspace must hold.
struct StepLimits {
  int max_tokens = 512;    // T
  int max_sequences = 16;  // S, and rows of logits
  int max_context = 4096;  // tokens of one sequence
  int page_size = 64;
};

class Llama {
 public:
  // Loads this rank's shard, its matrices in `format` (the head in head_format of it). Backend and
  // communicator are borrowed and must outlive the model. The checkpoint is not needed afterwards.
  // With `virtual_shards` (virtual_shards()), what ranks sum is summed in parts of a fixed number and order,
  // so that results do not depend on the number of ranks; 0: each rank's part is one sum.
  Llama(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend, Communicator& group,
        WeightFormat format, int max_context, int virtual_shards = 0);

  const LanguageShard& shard() const { return shard_; }
  const LanguageConfig& config() const { return config_; }
  int max_context() const { return max_context_; }
  int virtual_shards() const { return virtual_shards_; }

  // Every rank of the group calls with the same input. visual: rows [n, H] that input.visual_rows index, may
  // be empty when there are none. Returns this rank's logits f32 [sample_at.size(), shard().ids], of which
  // the columns past shard().real_ids are padding; memory of the workspace, valid until the caller's scope
  // ends. Without sample_at the tensor is empty. Indices are checked against each other before anything runs.
  Tensor forward(const ForwardInput& input, Tensor visual, KvCache& cache, Workspace& workspace);

  // These do the same in two parts. upload() checks what comes from the host and brings it to the device.
  // `drawn` holds the ids (i32) that input.drawn_at indexes; it may be empty when there are none.
  StepInputs upload(const ForwardInput& input, Tensor visual, Tensor drawn, const KvCache& cache,
                    Workspace& workspace);
  // compute() is operations on device memory alone, so Backend::record takes it where the group's calls are
  // recordable and nobody observes. It writes logits as above into the caller's tensor, which is empty
  // without samples, and into `scored` [n, H] the rows of inputs.score_at; that is empty without them.
  void compute(Tensor logits, const StepInputs& inputs, KvCache& cache, Workspace& workspace,
               Tensor scored = {});
  // Computes this rank's logits f32 [n, shard().ids] of such rows [n, H].
  void score(Tensor logits, Tensor rows) { backend_.matmul(logits, rows, head_); }

  // Makes what the first step of each size within the limits would make for its products, by this rank alone,
  // from the largest down. Steps of more than 768 tokens are left to their first use.
  void prepare(const StepLimits& limits, Workspace& workspace);

  // Stages: "hidden.L" is the input of layer L; "final_norm".
  void observe(StageObserver observer) { observer_ = std::move(observer); }

 private:
  struct Layer {
    DeviceTensor input_norm;
    Weight qkv;  // [(Hq + 2 Hk) D, H]: this rank's heads
    DeviceTensor qkv_bias;
    DeviceTensor q_norm, k_norm;  // [D], Qwen3's
    std::vector<Weight> out;      // [H, Hq D], by columns: one part, or this rank's virtual shards
    DeviceTensor mlp_norm;
    Weight gate_up;            // [2 I, H]
    std::vector<Weight> down;  // [H, I], as `out`
  };
  struct Step;

  Step take_step(int64_t tokens, Workspace& workspace) const;
  Layer load_layer(const std::string& prefix, Loader& loader) const;
  void embed(const StepInputs& inputs, Tensor hidden, Workspace& workspace);
  void attention(const Layer& layer, Step& step, KvLayer pages);
  void mlp(const Layer& layer, Step& step);
  std::vector<Weight> load_columns(Loader& loader, const std::string& name, int first, int count) const;
  void summed_product(Step& step, Tensor x, const std::vector<Weight>& parts);
  void check_input(const ForwardInput& input, Tensor visual, Tensor drawn, const KvCache& cache) const;

  Backend& backend_;
  Communicator& group_;
  LanguageConfig config_;
  LanguageShard shard_;
  int max_context_;
  int virtual_shards_;
  DeviceTensor table_;  // embedding rows of this rank
  DeviceTensor rope_;
  std::vector<Layer> layers_;
  DeviceTensor final_norm_;
  Weight head_;  // [ids, H]
  StageObserver observer_;
  std::vector<int32_t> staged_;  // a step's inputs on their way
};

}  // namespace uhd
