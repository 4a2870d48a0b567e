// What one forward pass reads, in device memory.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/workspace.h"
#include "model/language/forward_input.h"

namespace uhd {

// The arrays of a ForwardInput, i32, in one block of a workspace; absent ones are empty tensors.
struct StepInputs {
  Tensor ids;          // [T]
  Tensor positions;    // [T]
  Tensor slots;        // [T]
  PagedSpans spans;    // of the S sequences
  Tensor visual_at;    // [n]
  Tensor visual_rows;  // [n]
  Tensor sample_at;    // [samples]
  Tensor draws;        // [samples, kDrawWords]
  Tensor drawn_at;     // [T]
  Tensor visual;       // what visual_rows index: the visual store [rows, H]
  Tensor drawn;        // what drawn_at indexes: the ids of the step before [S']
};

// One upload. Where an array lies depends on the arrays' sizes and on what the workspace holds already, so
// that a recorded step finds those of the next step of its sizes in its own place. The host's own values,
// which a recording keeps, are sizes too: max_kv is what the page table has room for. `staged` is scratch.
StepInputs put_step_inputs(const ForwardInput& input, int page_size, std::vector<int32_t>& staged,
                           Workspace& workspace);

}  // namespace uhd
