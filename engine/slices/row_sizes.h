// How many visual rows slices become, and how many of them a rank keeps: both follow from the model's config
// and the engine's options alone.
#pragma once

#include <cstdint>

#include "engine/options.h"
#include "model/config.h"

namespace uhd {

// Rows of the largest piece that the options allow; 0 where the model sees no images.
int max_piece_rows(const ModelConfig& config, const ImageOptions& options);

// Rows that the visual store of an LLM rank holds, with activations of `element` bytes: at least one image of
// the largest pieces, whatever the options say; 0 where the model sees no images.
int64_t visual_store_rows(const ModelConfig& model, const EngineOptions& options, int64_t element);

}  // namespace uhd
