// A look at intermediate tensors, for golden tests and debugging; costs nothing when unset.
#pragma once

#include <functional>
#include <string>

#include "kernels/tensor.h"

namespace uhd {

// Called with a stage's name ("hidden.3", "final_norm") and its rows on the device. Reads only.
using StageObserver = std::function<void(const std::string& stage, Tensor rows)>;

}  // namespace uhd
