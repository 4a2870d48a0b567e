// SigLIP's ViT: patches alone, with a bias in their embedding. MiniCPM-V's has NaViT's positions and a norm
// behind the last layer; one in LLaVA's layout has interpolated positions and none.
#pragma once

#include <optional>
#include <vector>

#include "model/vision/feature_encoder.h"
#include "model/vision/interpolated_positions.h"
#include "model/vision/vit.h"

namespace uhd {

class SiglipEncoder final : public FeatureEncoder {
 public:
  SiglipEncoder(const ModelConfig& model, const Checkpoint& tower, Backend& backend, WeightFormat format);

  Parts forward(Tensor out, PatchWriter write_patches, std::span<const PatchGrid> grids,
                Workspace& workspace) override;
  void prepare(int64_t max_patches, int max_slices, Workspace& workspace) override;

 private:
  void embed(Tensor hidden, const PatchWriter& write_patches, std::span<const PatchGrid> grids,
             Workspace& workspace);

  Backend& backend_;
  VisionConfig config_;
  Weight patch_;  // [W, 3·patch·patch]
  DeviceTensor patch_bias_;
  DeviceTensor table_;                              // [side·side, W] of NaViT's positions
  std::optional<InterpolatedPositions> positions_;  // used instead of the table
  LayerNorm post_norm_;                             // used where the config has one
  std::optional<Vit> vit_;
};

// Returns NaViT's positions: rows of a table of side x side for a grid of any size, by the published
// single-precision arithmetic (fractions of the grid counted against bucket borders). `equal_fractions` takes
// those of SmolVLM and Idefics3, which round otherwise.
std::vector<int32_t> bucket_positions(PatchGrid grid, int side, bool equal_fractions = false);

}  // namespace uhd
