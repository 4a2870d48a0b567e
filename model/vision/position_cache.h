// Position rows of feature grids, computed once per grid size.
#pragma once

#include <cstdint>
#include <functional>
#include <list>

#include "kernels/backend.h"

namespace uhd {

// A slice's features: rows x columns, row-major.
struct PatchGrid {
  int rows = 0;
  int columns = 0;
  int64_t patches() const { return int64_t{rows} * columns; }
  bool operator==(const PatchGrid&) const = default;
};

// [rows · columns, width] per grid, in the backend's activation type. Keeps the most recently used grids
// within a budget of bytes. Not thread-safe. A returned tensor is valid until the next call.
class PositionCache {
 public:
  PositionCache(Backend& backend, int64_t width, size_t budget_bytes = size_t{64} << 20)
      : backend_(backend), width_(width), budget_bytes_(budget_bytes) {}

  Tensor get(PatchGrid grid, const std::function<void(Tensor rows)>& fill);

 private:
  struct Entry {
    PatchGrid grid;
    DeviceBuffer memory;
    Tensor rows;
  };
  Backend& backend_;
  int64_t width_;
  size_t budget_bytes_;
  size_t used_bytes_ = 0;
  std::list<Entry> entries_;  // most recently used first
};

}  // namespace uhd
