// A VisualStore holds the rows of encoded slices on one LLM rank. It is only the memory: the leader's
// VisualIndex is the book, which says which row belongs to which slice, and which goes first.
#pragma once

#include <span>

#include "kernels/backend.h"
#include "kernels/workspace.h"

namespace uhd {

class VisualStore {
 public:
  // Takes `rows` rows of `width` activations; 0 rows for a model without vision.
  VisualStore(Backend& backend, int rows, int width);

  // Returns [rows, width]; empty without rows.
  Tensor rows() const { return rows_; }
  // Row i of `values` [n, width] goes to row at[i].
  void place(Tensor values, std::span<const int32_t> at, Workspace& workspace);

 private:
  Backend& backend_;
  DeviceBuffer memory_;
  Tensor rows_;
};

}  // namespace uhd
