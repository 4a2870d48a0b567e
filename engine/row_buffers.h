// Memory for the rows of slices on their way from an encoder to the visual store; used again and again.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace uhd {

// Rows of one slice and the memory they lie in.
struct StagedRows {
  DeviceBuffer memory;
  Tensor rows;  // [n, H]
};

// Each buffer holds the largest slice. Not thread-safe.
class RowBuffers {
 public:
  RowBuffers(Backend& backend, int max_rows, int width)
      : backend_(backend), max_rows_(max_rows), width_(width) {}

  StagedRows take(int rows) {
    check(rows > 0 && rows <= max_rows_, "a slice of ", rows, " rows, but the largest has ", max_rows_);
    const DType dtype = backend_.activation_dtype();
    StagedRows staged;
    if (free_.empty()) {
      staged.memory =
          backend_.allocate(static_cast<size_t>(max_rows_) * static_cast<size_t>(width_) * size_of(dtype));
    } else {
      staged.memory = std::move(free_.back());
      free_.pop_back();
    }
    staged.rows = staged.memory.as(dtype, {rows, width_});
    return staged;
  }
  void give_back(StagedRows staged) {
    if (staged.memory) free_.push_back(std::move(staged.memory));
  }
  Backend& backend() const { return backend_; }
  int width() const { return width_; }

 private:
  Backend& backend_;
  int max_rows_;
  int width_;
  std::vector<DeviceBuffer> free_;
};

}  // namespace uhd
