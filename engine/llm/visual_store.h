// The rows of encoded slices on one LLM rank. Which row belongs to which slice, and which goes first, is the
// leader's book (VisualIndex); here is only the memory.
#pragma once

#include <span>

#include "kernels/backend.h"
#include "kernels/workspace.h"

namespace uhd {

class VisualStore {
 public:
  // `rows` rows of `width` activations; 0 rows for a model without vision.
  VisualStore(Backend& backend, int rows, int width);

  // [rows, width]; empty without rows.
  Tensor rows() const { return rows_; }
  // Row i of `values` [n, width] goes to row at[i].
  void place(Tensor values, std::span<const int32_t> at, Workspace& workspace);

 private:
  Backend& backend_;
  DeviceBuffer memory_;
  Tensor rows_;
};

}  // namespace uhd
