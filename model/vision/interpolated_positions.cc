#include "model/vision/interpolated_positions.h"

#include <utility>

namespace uhd {

InterpolatedPositions::InterpolatedPositions(Backend& backend, DeviceTensor table)
    : backend_(backend), table_(std::move(table)), cache_(backend, table_.view.row_size()) {}

Tensor InterpolatedPositions::of(PatchGrid grid) {
  return cache_.get(
      grid, [&](Tensor rows) { backend_.interpolate_positions(rows, table_.view, grid.rows, grid.columns); });
}

void InterpolatedPositions::add_to(Tensor x, std::span<const PatchGrid> grids) {
  int64_t first = 0;
  for (const PatchGrid& grid : grids) {
    const Tensor own = x.slice_rows(first, grid.patches());
    backend_.add(own, own, of(grid));
    first += grid.patches();
  }
}

}  // namespace uhd
