// The part of a tower that turns the patches of slices into features, one row for each patch. CLIP's and
// SigLIP's are two; both run the shared layers of a ViT between their own entrance and end.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/parts.h"
#include "kernels/workspace.h"
#include "model/config.h"
#include "model/observer.h"
#include "model/vision/patch_grid.h"
#include "model/weights/checkpoint.h"

namespace uhd {

// Not thread-safe: belongs to the thread that encodes. P patches of all slices together, W the tower's width.
class FeatureEncoder {
 public:
  virtual ~FeatureEncoder() = default;

  // Writes out [P, W], the features of the selected layer, from slices in `pixels` (VisionTower::forward).
  // `grids` are theirs. A part is a layer; the workspace is taken until the last one is done.
  virtual Parts forward(Tensor out, Tensor pixels, std::span<const PixelSlice> slices,
                        std::span<const PatchGrid> grids, Workspace& workspace) = 0;

  // Makes what the first passes of up to so many patches and slices would make.
  virtual void prepare(int64_t max_patches, int max_slices, Workspace& workspace) = 0;

  // Stages are "embeddings", "pre_layrnorm" (CLIP) and "hidden.L" after L layers, each with the rows that the
  // layers see.
  void observe(StageObserver observer) { observer_ = std::move(observer); }

 protected:
  void show(const std::string& stage, Tensor rows) const {
    if (observer_) observer_(stage, rows);
  }

 private:
  StageObserver observer_;
};

// Takes memory for the patches of so many, [P, 3·patch·patch].
Tensor take_patches(const VisionConfig& config, int64_t patches, const Backend& backend,
                    Workspace& workspace);
// Takes and fills it, slice after slice. An encoder needs it for its first product alone, and gives it back
// before the layers take theirs.
Tensor patches_of(const VisionConfig& config, Tensor pixels, std::span<const PixelSlice> slices,
                  int64_t patches, Backend& backend, Workspace& workspace);

// Loads the one that the config asks for from the checkpoint that holds the tensors under
// model.prefix_vision. The backend is borrowed; the checkpoint is not needed afterwards.
std::unique_ptr<FeatureEncoder> make_feature_encoder(const ModelConfig& model, const Checkpoint& tower,
                                                     Backend& backend, WeightFormat format);

}  // namespace uhd
