// Computes how large a pass of the tower may be, how many visual rows slices become, and how many of them a
// rank keeps. All follow from the model's config and the engine's options alone.
#pragma once

#include <cstdint>

#include "engine/options.h"
#include "model/config.h"
#include "model/vision/tower_memory.h"

namespace uhd {

// Returns the patches of one pass of the tower: the options', or on the host as many as fill its products,
// because what a pass takes grows with them, and on a device several times as many.
int64_t batch_patches(const EngineOptions& options, bool host_memory);

// Returns the limits of one pass of the tower; the largest piece always fits.
EncoderLimits encoder_limits(const EngineOptions& options, bool host_memory);

// Returns the rows of the largest piece that the options allow; 0 if the model sees no images.
int max_piece_rows(const ModelConfig& config, const ImageOptions& options);

// Returns the rows that the visual store of an LLM rank holds, with activations of `element` bytes: at least
// one image of the largest pieces, whatever the options say; 0 if the model sees no images.
int64_t visual_store_rows(const ModelConfig& model, const EngineOptions& options, int64_t element);

}  // namespace uhd
