// Computes the angles of the rotary position embedding, with the published scalings.
#pragma once

#include <vector>

#include "model/config.h"

namespace uhd {

// Returns f32 [positions, 2, head_dim/2]: cosines, then sines, with the attention factor of yarn and longrope
// multiplied in. It computes in the single precision of the published code, so that far positions agree with
// it. longrope takes its long factors if there are more positions than the model was first trained for: the
// choice is that of the table, never of a prompt, so that keys of a cache stay those of every later step.
std::vector<float> rope_table(const LanguageConfig& language, int positions);

}  // namespace uhd
