// Puts the arrays that one forward pass reads into device memory.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/workspace.h"
#include "model/language/forward_input.h"

namespace uhd {

// The arrays of a ForwardInput, i32, lie in one block of a workspace; absent ones are empty tensors.
struct StepInputs {
  Tensor ids;          // [T]
  Tensor positions;    // [T]
  Tensor slots;        // [T]
  PagedSpans spans;    // the spans of the S sequences
  Tensor visual_at;    // [n]
  Tensor visual_rows;  // [n]
  Tensor sample_at;    // [samples]
  Tensor score_at;     // [scored]
  Tensor draws;        // [samples, kDrawWords]
  Tensor drawn_at;     // [T]
  Tensor visual;       // visual_rows index it: the visual store [rows, H]
  Tensor drawn;        // drawn_at indexes it: the ids of the step before [S']
};

// Uploads all arrays at once. The place of an array depends on the arrays' sizes and on what the workspace
// holds already, so that a recorded step finds the inputs of the next step of its sizes in its own place. The
// host's own values, which a recording keeps, are sizes too: max_kv is the number of tokens for which the
// page table has room. `staged` is scratch.
StepInputs put_step_inputs(const ForwardInput& input, int page_size, std::vector<int32_t>& staged,
                           Workspace& workspace);

}  // namespace uhd
