#include "model/vision/pixel_shuffle.h"

#include <algorithm>

namespace uhd {

PixelShuffle::PixelShuffle(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                           WeightFormat format)
    : backend_(backend), side_(model.resampler.shuffle) {
  projection_ = Loader(checkpoint, backend, format).whole(model.prefix_resampler + "proj.weight");
}

std::vector<int32_t> shuffled_patches(std::span<const PatchGrid> grids, int side) {
  std::vector<int32_t> patches;
  int32_t first = 0;
  for (const PatchGrid& grid : grids) {
    const auto count = static_cast<int32_t>(grid.patches());
    if (grid.rows % side == 0 && grid.columns % side == 0) {
      for (int i = 0; i < count; ++i) {
        const int square = i / (side * side), within = i % (side * side);
        const int across = grid.columns / side;
        const int row = square / across * side + within / side,
                  column = square % across * side + within % side;
        patches.push_back(first + row * grid.columns + column);
      }
    } else {
      for (int i = 0; i < count / (side * side) * side * side; ++i) patches.push_back(first + i);
    }
    first += count;
  }
  return patches;
}

void PixelShuffle::forward(Tensor out, Tensor features, std::span<const PatchGrid> grids,
                           Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const std::vector<int32_t> patches = shuffled_patches(grids, side_);
  const auto count = static_cast<int64_t>(patches.size());
  check(count == out.rows() * side_ * side_, "a connector of ", count, " patches makes ", out.rows(),
        " rows");
  if (count == 0) return;
  const Tensor gathered = workspace.take(backend_.activation_dtype(), {count, features.dim(1)});
  backend_.gather_rows(gathered, features, workspace.put(patches));
  backend_.matmul(out, gathered.reshaped({out.rows(), projection_.k}), projection_);
}

void PixelShuffle::prepare(Tensor out, Tensor features, int, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t most = std::min(features.rows() / (side_ * side_), out.rows());
  const Tensor rows = workspace.take(backend_.activation_dtype(), {most, projection_.k});
  for (int64_t p = most; p > 0; --p) {
    backend_.prepare_matmul(out.slice_rows(0, p), rows.slice_rows(0, p), projection_);
  }
}

}  // namespace uhd
