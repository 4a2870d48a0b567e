#include "plan/rank_memory.h"

#include <algorithm>

#include "engine/slices/row_sizes.h"
#include "model/language/kv_cache.h"
#include "model/language/step_memory.h"
#include "model/vision/tower_memory.h"
#include "model/weights/parameters.h"
#include "model/weights/shard.h"

namespace uhd {

RankMemory llm_rank_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                           int ranks) {
  const LanguageConfig& language = model.language;
  const bool single = format == WeightFormat::f32;
  const DType activations = single ? DType::f32 : DType::bf16;
  const size_t element = size_of(activations);
  const LanguageShard shard = shard_of(language, 0, ranks);
  const int context = options.context_length > 0 ? options.context_length : language.context;
  const StepLimits steps{options.token_budget, options.max_running, context, options.page_size};
  RankMemory memory;
  memory.weights = static_cast<int64_t>(weight_bytes(language_parameters(model), language, ranks, format));
  memory.steps = static_cast<int64_t>(step_bytes(language, shard, steps, activations));
  const int64_t row_bytes = language.hidden * static_cast<int64_t>(element);
  memory.visual_rows = row_bytes * visual_store_rows(model, options, static_cast<int64_t>(element));
  memory.page =
      static_cast<int64_t>(KvCache::bytes_per_page(language.layers, shard.kv_heads, language.head_dim,
                                                   options.page_size, single ? DType::f32 : DType::bf16));
  return memory;
}

TowerMemory tower_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format) {
  if (!model.vision) return {};
  auto parameters = vision_parameters(model);
  const auto resampler = resampler_parameters(model);
  parameters.insert(parameters.end(), resampler.begin(), resampler.end());
  const DType activations = format == WeightFormat::f32 ? DType::f32 : DType::bf16;
  return {static_cast<int64_t>(weight_bytes(parameters, model.language, 1, format)),
          static_cast<int64_t>(pass_bytes(model, encoder_limits(options, false), activations, false))};
}

}  // namespace uhd
