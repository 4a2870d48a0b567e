// A checkpoint without files, for a model that runs on an idle backend (kernels/idle_backend.h).
#pragma once

#include <vector>

#include "model/weights/checkpoint.h"
#include "model/weights/parameters.h"

namespace uhd {

// Holds tensors of these names and shapes in bf16. All of them begin at one piece of memory that is as long
// as the longest vector: so much of a vector or a matrix may be read, and its values are zero.
Checkpoint blank_checkpoint(const std::vector<Parameter>& parameters);

}  // namespace uhd
