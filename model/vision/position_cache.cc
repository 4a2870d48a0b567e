#include "model/vision/position_cache.h"

#include <algorithm>

namespace uhd {

Tensor PositionCache::get(PatchGrid grid, const std::function<void(Tensor rows)>& fill) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.grid == grid; });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().rows;
  }
  const Shape shape{grid.patches(), width_};
  const DType dtype = backend_.activation_dtype();
  Entry entry{grid, backend_.allocate(static_cast<size_t>(shape.elements()) * size_of(dtype)), {}};
  entry.rows = entry.memory.as(dtype, shape);
  fill(entry.rows);
  used_bytes_ += entry.memory.bytes();
  entries_.push_front(std::move(entry));
  while (entries_.size() > 1 && used_bytes_ > budget_bytes_) {
    used_bytes_ -= entries_.back().memory.bytes();
    entries_.pop_back();
  }
  return entries_.front().rows;
}

}  // namespace uhd
