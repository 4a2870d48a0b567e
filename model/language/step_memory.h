// The workspace of a step, found by running the largest one on a backend that computes nothing.
#pragma once

#include "model/config.h"
#include "model/language/llama.h"
#include "model/weights/shard.h"

namespace uhd {

// Returns the bytes that the largest step within the limits takes of a Workspace on one rank, with
// activations of this type: inputs, forward pass, logits and every way to choose their tokens. No smaller
// step takes more.
size_t step_bytes(const LanguageConfig& config, const LanguageShard& shard, const StepLimits& limits,
                  DType activations, int virtual_shards = 0);

}  // namespace uhd
