// The connector of SmolVLM and Idefics3: the features of a square of neighbouring patches become one row, and
// one product without a bias takes the row to the language model's width.
#pragma once

#include <vector>

#include "model/vision/resampler.h"
#include "model/weights/loader.h"

namespace uhd {

class PixelShuffle final : public Resampler {
 public:
  PixelShuffle(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend, WeightFormat format);

  void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids, Workspace& workspace) override;
  void prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) override;

 private:
  Backend& backend_;
  int side_;           // the side of a square, in patches
  Weight projection_;  // [H, side·side·W]
};

// Returns the patches of every square of the grids, in the order of the rows: squares row by row, and the
// patches of each row by row. A grid that squares do not divide gives its first patches, as many as whole
// squares have; no slice of the model has such a grid.
std::vector<int32_t> shuffled_patches(std::span<const PatchGrid> grids, int side);

}  // namespace uhd
