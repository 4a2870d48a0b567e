// Positions of a ViT that was trained on one square grid, for grids of any size: its table, interpolated.
#pragma once

#include <span>

#include "model/vision/position_cache.h"
#include "model/weights/loader.h"

namespace uhd {

// Not thread-safe. W is the tower's width.
class InterpolatedPositions {
 public:
  // `table`: [side·side, W], of patches alone. The backend is borrowed.
  InterpolatedPositions(Backend& backend, DeviceTensor table);

  // Returns the rows of a grid, [rows · columns, W], valid until the next call.
  Tensor of(PatchGrid grid);
  // Adds to each slice's rows of x [P, W] those of its grid.
  void add_to(Tensor x, std::span<const PatchGrid> grids);

 private:
  Backend& backend_;
  DeviceTensor table_;
  PositionCache cache_;
};

}  // namespace uhd
