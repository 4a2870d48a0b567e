// Position rows of feature grids, computed once per grid size.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/backend.h"
#include "model/vision/patch_grid.h"

namespace uhd {

// [rows · columns, width] per grid, in the backend's activation type, in memory that is taken at once (on
// the host when it is first used): so many rows, which the grids take round and round, new ones in the place
// of the oldest. A grid of more rows takes memory of its own size instead, the first time that one so large
// comes. Not thread-safe. A returned tensor is valid until the next call.
class PositionCache {
 public:
  static constexpr int64_t kRows = 24 * 1024;  // rows of some dozens of grids
  PositionCache(Backend& backend, int64_t width, int64_t rows = kRows);

  Tensor get(PatchGrid grid, const std::function<void(Tensor rows)>& fill);

 private:
  struct Entry {
    PatchGrid grid;
    int64_t first = 0;
    int64_t end() const { return first + grid.patches(); }
  };
  void take(int64_t rows);
  Tensor rows_of(const Entry& entry) const { return rows_.slice_rows(entry.first, entry.grid.patches()); }

  Backend& backend_;
  int64_t width_;
  int64_t wanted_;  // rows
  DeviceBuffer memory_;
  Tensor rows_;
  int64_t next_ = 0;  // the place of the next grid's rows
  std::vector<Entry> entries_;
};

}  // namespace uhd
