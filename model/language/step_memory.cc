#include "model/language/step_memory.h"

#include <algorithm>

#include "kernels/draw.h"
#include "kernels/idle_backend.h"
#include "model/language/sampler.h"
#include "model/text/grammar.h"
#include "model/weights/blank_checkpoint.h"

namespace uhd {
namespace {

// One rank of a group whose calls do nothing.
class IdleGroup final : public Communicator {
 public:
  IdleGroup(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(Tensor) override {}
  void all_gather(Tensor, Tensor) override {}
  void broadcast(Tensor, int) override {}
  void send(Tensor, int) override {}
  void receive(Tensor, int) override {}
  void barrier() override {}

 private:
  const int rank_;
  const int size_;
};

// A scored row counts for two of a step (Batch::rows), which may be over by one.
int64_t most_scored(int tokens) { return (tokens + 1) / 2; }

ModelConfig model_of(const LanguageConfig& config) {
  ModelConfig model;
  model.language = config;
  model.head = "head";
  return model;
}

// As many tokens as there may be, each with all that a token may have. Padding gives a step that only decodes
// as many tokens as sequences (DecodeGraphs).
ForwardInput largest_input(const StepLimits& limits) {
  const int sequences = limits.max_sequences, tokens = std::max(limits.max_tokens, sequences);
  const int longest = tokens / sequences + 1;
  const auto zeros = [](int64_t count) { return std::vector<int32_t>(static_cast<size_t>(count)); };
  ForwardInput in;
  in.ids = in.positions = in.slots = in.visual_at = in.visual_rows = in.drawn_at = zeros(tokens);
  in.q_offsets = {0};
  for (int s = 0; s < sequences; ++s) {
    in.kv_lengths.push_back(tokens / sequences + (s < tokens % sequences ? 1 : 0));
    in.q_offsets.push_back(in.q_offsets.back() + in.kv_lengths.back());
  }
  in.max_pages = (std::max(limits.max_context, longest) + limits.page_size - 1) / limits.page_size;
  in.page_table = zeros(int64_t{sequences} * in.max_pages);
  in.sample_at = zeros(sequences);
  in.score_at = zeros(most_scored(tokens));
  in.draws = zeros(sequences * kDrawWords);
  return in;
}

}  // namespace

size_t step_bytes(const LanguageConfig& config, const LanguageShard& shard, const StepLimits& limits,
                  DType activations, int virtual_shards) {
  constexpr size_t kUnlimited = size_t{1} << 50;
  IdleBackend idle(activations);
  IdleGroup group(shard.rank, shard.size);
  const ModelConfig model = model_of(config);
  Llama llama(model, blank_checkpoint(language_parameters(model)), idle, group, WeightFormat::bf16, 1,
              virtual_shards);
  Sampler sampler(idle, group, shard, config.vocabulary, limits.max_sequences);
  KvCache cache(idle, config.layers, shard.kv_heads, config.head_dim, 1, limits.page_size, DType::bf16);
  const Tensor visual(idle.allocate(1).data(), activations, {1, config.hidden});
  Workspace workspace(idle, kUnlimited);

  const StepInputs inputs = llama.upload(largest_input(limits), visual, sampler.drawn(), cache, workspace);
  const Tensor logits = workspace.take(DType::f32, {limits.max_sequences, shard.ids});
  const Tensor scored = workspace.take(activations, {inputs.score_at.rows(), config.hidden});
  llama.compute(logits, inputs, cache, workspace, scored);
  RowMasks masks;
  masks.rows.resize(static_cast<size_t>(limits.max_sequences));
  masks.words.resize(masks.rows.size() * mask_words(static_cast<size_t>(config.vocabulary)));
  sampler.mask(logits, masks, workspace);
  sampler.choose(logits, {}, workspace);
  sampler.fetch_logits(logits, workspace);  // gathers what drawing gathers
  const int64_t at_once = std::min<int64_t>(scored.rows(), kRowsScoredAtOnce);
  Sampler scorer(idle, group, shard, config.vocabulary, kRowsScoredAtOnce);
  scorer.fetch_logits(workspace.take(DType::f32, {at_once, shard.ids}), workspace);  // as scoring gathers
  return workspace.peak();
}

}  // namespace uhd
