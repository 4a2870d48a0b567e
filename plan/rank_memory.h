// What a rank's memory will be for, from the model's config and the engine's options alone: for whoever asks
// before a checkpoint is loaded or a device is there. MemoryBook tells what a running rank took.
#pragma once

#include <cstdint>

#include "engine/options.h"
#include "kernels/weight.h"
#include "model/config.h"

namespace uhd {

// All in bytes.
struct RankMemory {
  int64_t weights = 0;      // the language model's, of one of its ranks
  int64_t steps = 0;        // the workspace of the largest step
  int64_t visual_rows = 0;  // of encoded slices; 0 where the model sees no images
  int64_t page = 0;         // one page of K and V over all layers
};

// Of one of `ranks` LLM ranks on a device, with weights in `format`; quantized: the matrices of the language
// model. Of the options, those of sizes count. Throws Error where the model is not divided by `ranks`.
RankMemory llm_rank_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                           int ranks);

// Weights of the vision tower and of what compresses its features; 0 for models that see no images.
int64_t encoder_weight_bytes(const ModelConfig& model, WeightFormat format);

}  // namespace uhd
