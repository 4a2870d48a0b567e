// Computes how a rank will use its memory, from the model's config and the engine's options alone, before a
// checkpoint is loaded or a device is there. MemoryBook tells how much a running rank took.
#pragma once

#include <cstdint>

#include "engine/options.h"
#include "kernels/weight.h"
#include "model/config.h"

namespace uhd {

// All fields are in bytes.
struct RankMemory {
  int64_t weights = 0;      // the language model's, on one of its ranks
  int64_t steps = 0;        // the workspace of the largest step
  int64_t visual_rows = 0;  // of encoded slices; 0 if the model sees no images
  int64_t page = 0;         // one page of K and V over all layers
};

// Returns the memory of one of `ranks` LLM ranks on a device, with weights in `format`; a quantized format is
// that of the language model's matrices. Only the options of sizes count. Throws an Error if the model cannot
// be divided by `ranks`.
RankMemory llm_rank_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                           int ranks);

// Of the vision tower and the layer that compresses its features; 0 for models that see no images. All fields
// are in bytes.
struct TowerMemory {
  int64_t weights = 0;
  int64_t pass = 0;  // the workspace of the largest pass
};
TowerMemory tower_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format);

}  // namespace uhd
