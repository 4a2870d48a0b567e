#include "model/vision/position_cache.h"

#include <algorithm>

namespace uhd {

PositionCache::PositionCache(Backend& backend, int64_t width, int64_t rows)
    : backend_(backend), width_(width), wanted_(rows) {
  if (!backend.host_memory()) take(rows);
}

void PositionCache::take(int64_t rows) {
  const DType dtype = backend_.activation_dtype();
  memory_ = backend_.allocate(static_cast<size_t>(rows * width_) * size_of(dtype));
  rows_ = memory_.as(dtype, {rows, width_});
  entries_.clear();
  next_ = 0;
}

Tensor PositionCache::get(PatchGrid grid, const std::function<void(Tensor rows)>& fill) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.grid == grid; });
  if (found != entries_.end()) return rows_of(*found);
  if (grid.patches() > rows_.rows()) take(std::max(wanted_, grid.patches()));
  if (next_ + grid.patches() > rows_.rows()) next_ = 0;
  const Entry entry{grid, next_};
  std::erase_if(entries_,
                [&](const Entry& old) { return old.first < entry.end() && entry.first < old.end(); });
  fill(rows_of(entry));
  entries_.push_back(entry);
  next_ = entry.end();
  return rows_of(entry);
}

}  // namespace uhd
