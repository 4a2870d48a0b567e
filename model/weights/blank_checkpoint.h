// A checkpoint without files, for a model that runs on an idle backend (kernels/idle_backend.h).
#pragma once

#include <vector>

#include "model/weights/checkpoint.h"
#include "model/weights/parameters.h"

namespace uhd {

// Holds tensors of these names and shapes in bf16. Their values mean nothing: all of them lie in one piece of
// memory, as long as the longest, which costs nothing where it is not read.
Checkpoint blank_checkpoint(const std::vector<Parameter>& parameters);

}  // namespace uhd
