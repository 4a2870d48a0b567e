#include "engine/llm/visual_store.h"

namespace uhd {

VisualStore::VisualStore(Backend& backend, int rows, int width) : backend_(backend) {
  if (rows == 0) return;
  const DType dtype = backend.activation_dtype();
  memory_ = backend.allocate(static_cast<size_t>(rows) * static_cast<size_t>(width) * size_of(dtype));
  rows_ = memory_.as(dtype, {rows, width});
}

void VisualStore::place(Tensor values, std::span<const int32_t> at, Workspace& workspace) {
  check(values.rows() == static_cast<int64_t>(at.size()), values.rows(), " rows for ", at.size(), " places");
  for (int32_t row : at) {
    check(row >= 0 && !rows_.empty() && row < rows_.rows(), "visual row ", row, " is outside the store");
  }
  const Workspace::Scope scope(workspace);
  backend_.scatter_rows(rows_, values, workspace.put(at));
}

}  // namespace uhd
