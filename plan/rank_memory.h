// Computes how a rank will use its memory, from the model's config and the engine's options alone, before a
// checkpoint is loaded or a device is there. MemoryBook tells how much a running rank took.
#pragma once

#include <cstdint>

#include "engine/options.h"
#include "kernels/weight.h"
#include "model/config.h"

namespace uhd {

// A rank on the host computes in f32, leaves embedding tables in their files, and takes memory where it is
// written: only a device's is taken whole at the start.
enum class RankPlace : uint8_t { host, device };

// All fields are in bytes.
struct RankMemory {
  int64_t weights = 0;      // the language model's, on one of its ranks
  int64_t steps = 0;        // the workspace of the largest step
  int64_t visual_rows = 0;  // rows of encoded slices; 0 if the model sees no images
  int64_t page = 0;         // one page of K and V over all layers
};

// Returns the memory of one of `ranks` LLM ranks, with weights in `format`; a quantized format is that of the
// language model's matrices. Only the options of sizes count. Throws an Error if the model cannot be divided
// by `ranks`.
RankMemory llm_rank_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                           int ranks, RankPlace place);

// The memory of the vision tower and of the layer that compresses its features, in bytes; 0 for models that
// see no images.
struct TowerMemory {
  int64_t weights = 0;
  // The workspace of the largest pass on a device, of a usual one on the host, where a slice of more patches
  // than encoders.batch_patches takes more.
  int64_t pass = 0;
  int64_t between_parts = 0;  // the part of it that a pass holds while a step runs between its parts
};
TowerMemory tower_memory(const ModelConfig& model, const EngineOptions& options, WeightFormat format,
                         RankPlace place);

// Returns the workspaces of steps and of the tower's passes of a rank that has both. On the host they take
// turns in one, also within a pass.
int64_t workspace_bytes(const RankMemory& llm, const TowerMemory& tower, RankPlace place);

// Returns the format of the tower beside a language model in `format`: f32 where the checkpoint asks for it
// and activations are in it, which on a device they are not.
WeightFormat planned_tower_format(const ModelConfig& model, WeightFormat format, RankPlace place);

}  // namespace uhd
