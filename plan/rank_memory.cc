#include "plan/rank_memory.h"

#include <algorithm>

#include "engine/slices/row_sizes.h"
#include "model/language/kv_cache.h"
#include "model/language/step_memory.h"
#include "model/vision/tower_memory.h"
#include "model/weights/parameters.h"
#include "model/weights/shard.h"

namespace uhd {
namespace {

DType activations_of(WeightFormat format, RankPlace place) {
  return format == WeightFormat::f32 || place == RankPlace::host ? DType::f32 : DType::bf16;
}

// Returns the bytes that weight_bytes counts for the embedding table itself.
size_t table_bytes(const std::vector<Parameter>& parameters, LanguageConfig language, int ranks,
                   WeightFormat format) {
  language.tied = false;  // else the head is counted with the table
  size_t bytes = 0;
  for (const Parameter& p : parameters)
    if (p.rule == ShardRule::vocabulary && !p.product) bytes += weight_bytes({p}, language, ranks, format);
  return bytes;
}

}  // namespace

RankMemory llm_rank_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                           int ranks, RankPlace place) {
  const LanguageConfig& language = model.language;
  const bool single = format == WeightFormat::f32;
  const DType activations = activations_of(format, place);
  const size_t element = size_of(activations);
  const LanguageShard shard = shard_of(language, 0, ranks);
  const int context = options.context_length > 0 ? options.context_length : language.context;
  const StepLimits steps{options.token_budget, options.max_running, context, options.page_size};
  RankMemory memory;
  const std::vector<Parameter> parameters = language_parameters(model);
  memory.weights = static_cast<int64_t>(weight_bytes(parameters, language, ranks, format));
  if (place == RankPlace::host)
    memory.weights -= static_cast<int64_t>(table_bytes(parameters, language, ranks, format));
  memory.steps = static_cast<int64_t>(step_bytes(language, shard, steps, activations));
  const int64_t row_bytes = language.hidden * static_cast<int64_t>(element);
  memory.visual_rows = row_bytes * visual_store_rows(model, options, static_cast<int64_t>(element));
  memory.page =
      static_cast<int64_t>(KvCache::bytes_per_page(language.layers, shard.kv_heads, language.head_dim,
                                                   options.page_size, single ? DType::f32 : DType::bf16));
  return memory;
}

TowerMemory tower_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                         RankPlace place) {
  if (!model.vision) return {};
  auto parameters = vision_parameters(model);
  const auto resampler = resampler_parameters(model);
  parameters.insert(parameters.end(), resampler.begin(), resampler.end());
  const bool host = place == RankPlace::host;
  EncoderLimits limits = encoder_limits(options, host);
  if (host) limits.max_patches = batch_patches(options, true);
  const PassMemory pass = pass_memory(model, limits, activations_of(format, place), host);
  return {static_cast<int64_t>(weight_bytes(parameters, model.language, 1, format)),
          static_cast<int64_t>(pass.most), static_cast<int64_t>(pass.between_parts)};
}

int64_t workspace_bytes(const RankMemory& llm, const TowerMemory& tower, RankPlace place) {
  if (place == RankPlace::device) return llm.steps + tower.pass;
  return std::max(tower.pass, tower.between_parts + llm.steps);
}

WeightFormat planned_tower_format(const ModelConfig& model, WeightFormat format, RankPlace place) {
  const bool asked = place == RankPlace::host && model.vision && model.vision->wants_f32;
  return asked || format == WeightFormat::f32 ? WeightFormat::f32 : WeightFormat::bf16;
}

}  // namespace uhd
