// CLIP's ViT: a class token before each slice's patches, interpolated positions, and a norm before the first
// layer.
#pragma once

#include <optional>
#include <vector>

#include "model/vision/feature_encoder.h"
#include "model/vision/interpolated_positions.h"
#include "model/vision/vit.h"

namespace uhd {

class ClipEncoder final : public FeatureEncoder {
 public:
  ClipEncoder(const ModelConfig& model, const Checkpoint& tower, Backend& backend, WeightFormat format);

  // The class tokens take part in the layers and are dropped at the end.
  Parts forward(Tensor out, PatchWriter write_patches, std::span<const PatchGrid> grids,
                Workspace& workspace) override;
  void prepare(int64_t max_patches, int max_slices, Workspace& workspace) override;

  // Returns the positions of a grid's patches, [rows · columns, W], valid until the next call.
  Tensor positions_of(PatchGrid grid) { return positions_->of(grid); }

 private:
  // i32 rows of the pass: of all patches [P], and of each slice's class token [S].
  struct Places {
    Tensor patches, classes;
  };
  void load_embeddings(Loader& loader, const std::string& prefix);
  void embed(Tensor hidden, const PatchWriter& write_patches, std::span<const PatchGrid> grids,
             const Places& places, Workspace& workspace);

  Backend& backend_;
  VisionConfig config_;
  Weight patch_;            // [W, 3·patch·patch]
  DeviceTensor class_row_;  // [1, W]: class embedding + its position
  std::optional<InterpolatedPositions> positions_;
  LayerNorm pre_norm_;
  std::optional<Vit> vit_;
};

}  // namespace uhd
