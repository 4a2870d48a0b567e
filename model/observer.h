// A StageObserver looks at intermediate tensors, for golden tests and debugging; it costs nothing when unset.
#pragma once

#include <functional>
#include <string>

#include "kernels/tensor.h"

namespace uhd {

// It is called with a stage's name ("hidden.3", "final_norm") and its rows on the device, which it may only
// read.
using StageObserver = std::function<void(const std::string& stage, Tensor rows)>;

}  // namespace uhd
