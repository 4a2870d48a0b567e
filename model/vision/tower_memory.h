// The workspace of a vision tower, found by running the largest passes on a backend that computes nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dtype.h"
#include "model/config.h"
#include "model/vision/patch_grid.h"

namespace uhd {

struct EncoderLimits {
  int64_t max_patches = 4096;  // patches of one pass, and of one slice
  int max_slices = 16;         // slices of one pass
};

// The bytes of a Workspace that a pass takes, pixels included.
struct PassMemory {
  size_t most = 0;
  size_t between_parts = 0;  // the most of it that is held between two of its parts
};

// Returns what the largest pass within the limits takes, with activations of this type, on the host or on a
// device. No smaller pass takes more. Two slices are reckoned with at least.
PassMemory pass_memory(const ModelConfig& model, const EncoderLimits& limits, DType activations,
                       bool host_memory);

// Returns the passes that pass_memory runs, each as the grids of its slices.
std::vector<std::vector<PatchGrid>> largest_passes(const EncoderLimits& limits);

}  // namespace uhd
