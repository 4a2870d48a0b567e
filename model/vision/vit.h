// The vision tower: CLIP ViT (class token, interpolated positions) and SigLIP (bucketed positions) in one.
// Slices of any sizes and from any requests are packed without padding; each attends only itself.
#pragma once

#include <span>
#include <vector>

#include "kernels/workspace.h"
#include "model/config.h"
#include "model/observer.h"
#include "model/vision/position_cache.h"
#include "model/weights/loader.h"

namespace uhd {

class Vit {
 public:
  // tower: the checkpoint that holds the tensors under model.prefix_vision. Backend borrowed; the checkpoint
  // is not needed afterwards.
  Vit(const ModelConfig& model, const Checkpoint& tower, Backend& backend, WeightFormat format);

  const VisionConfig& config() const { return config_; }
  size_t workspace_bytes(int64_t max_patches, int max_slices) const;

  // out [P, W]: the features of the selected layer, class tokens dropped. patches [P, 3·patch·patch] as
  // patchify gives them, slice after slice.
  void forward(Tensor out, Tensor patches, std::span<const PatchGrid> grids, Workspace& workspace);

  // Stages, with the class token first in each slice: "embeddings", "pre_layrnorm", "hidden.L" after L
  // layers.
  void observe(StageObserver observer) { observer_ = std::move(observer); }

  // Interpolated position rows of a grid (class_token towers), [rows · columns, W].
  Tensor positions_of(PatchGrid grid);

 private:
  struct Norm {
    DeviceTensor weight, bias;
  };
  struct Layer {
    Norm norm1;
    Weight qkv;  // [3 W, W]
    DeviceTensor qkv_bias;
    Weight out;
    DeviceTensor out_bias;
    Norm norm2;
    Weight fc1, fc2;
    DeviceTensor fc1_bias, fc2_bias;
  };
  struct Pass;

  Layer load_layer(const std::string& prefix, Loader& loader) const;
  void embed(Pass& pass, Tensor patches, std::span<const PatchGrid> grids, Workspace& workspace);
  void run_layer(const Layer& layer, Pass& pass);
  void show(const std::string& stage, Tensor rows) const {
    if (observer_) observer_(stage, rows);
  }

  Backend& backend_;
  VisionConfig config_;
  const bool precise_;
  Weight patch_;  // [W, 3·patch·patch]
  DeviceTensor patch_bias_;
  DeviceTensor class_row_;       // [1, W]: class embedding + its position
  DeviceTensor position_table_;  // [g·g, W], without the class token's row
  Norm pre_norm_, post_norm_;
  std::vector<Layer> layers_;
  PositionCache positions_;
  StageObserver observer_;
};

// NaViT's positions: rows of a table of side x side for a grid of any size, by the published single-precision
// arithmetic (fractions of the grid counted against bucket borders).
std::vector<int32_t> bucket_positions(PatchGrid grid, int side);

}  // namespace uhd
