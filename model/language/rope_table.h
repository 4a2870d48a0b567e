// Computes the angles of the rotary position embedding, with the published scalings.
#pragma once

#include <vector>

#include "model/config.h"

namespace uhd {

// Returns f32 [positions, 2, head_dim/2]: cosines, then sines, with yarn's attention factor multiplied in. It
// computes in the single precision of the published code, so that far positions agree with it.
std::vector<float> rope_table(const LanguageConfig& language, int positions);

}  // namespace uhd
