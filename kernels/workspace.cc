#include "kernels/workspace.h"

#include <algorithm>

namespace uhd {

Workspace::Workspace(Backend& backend, size_t bytes) : backend_(backend), memory_(backend.allocate(bytes)) {}

void Workspace::enlarge(size_t bytes) {
  check(used_ == 0, "a workspace that is in use was to be enlarged");
  const size_t sum = capacity() + bytes;
  memory_ = {};
  memory_ = backend_.allocate(sum);
}

Tensor Workspace::take(DType dtype, Shape shape) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  const size_t padded = (bytes + 63) / 64 * 64;
  check(padded <= capacity() - used_, "workspace of ", capacity(), " bytes is too small: ", used_, " used, ",
        padded, " wanted");
  Tensor t(static_cast<char*>(memory_.data()) + used_, dtype, shape);
  used_ += padded;
  peak_ = std::max(peak_, used_);
  return t;
}

Tensor Workspace::put(std::span<const int32_t> values) {
  Tensor t = take(DType::i32, {static_cast<int64_t>(values.size())});
  if (!values.empty()) backend_.upload(t, Tensor::of(values.data(), {static_cast<int64_t>(values.size())}));
  return t;
}

}  // namespace uhd
