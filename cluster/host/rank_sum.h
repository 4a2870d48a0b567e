// Every communicator on host memory uses this sum, so that they all give the same bits.
#pragma once

#include <span>

#include "kernels/dtype.h"

namespace uhd {

// Sets out[i] = parts[0][i] + parts[1][i] + ... for i in [0, count): in rank order, in f32, rounded once.
// Values are f32 or bf16. `out` may be one of the parts.
void sum_in_rank_order(DType dtype, void* out, std::span<const void* const> parts, size_t count);

}  // namespace uhd
