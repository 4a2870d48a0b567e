// A FeatureEncoder is the part of a tower that turns the patches of slices into features, one row for each
// patch. CLIP's and SigLIP's are two; both run the shared layers of a ViT between their own entrance and end.
#pragma once

#include <functional>
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

  // Writes the patches of all slices, [P, 3·patch·patch] as patchify gives them.
  using PatchWriter = std::function<void(Tensor patches)>;
  // Writes out [P, W], the features of the selected layer. An encoder has patches written for its first
  // product alone, and gives their memory back before the layers take theirs. A part is a layer;
  // between parts only what the next ones read is taken.
  virtual Parts forward(Tensor out, PatchWriter write_patches, std::span<const PatchGrid> grids,
                        Workspace& workspace) = 0;

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

// Takes memory for so many patches, [P, 3·patch·patch].
Tensor take_patches(const VisionConfig& config, int64_t patches, const Backend& backend,
                    Workspace& workspace);

// Loads the one that the config asks for from the checkpoint that holds the tensors under
// model.prefix_vision. The backend is borrowed; the checkpoint is not needed afterwards.
std::unique_ptr<FeatureEncoder> make_feature_encoder(const ModelConfig& model, const Checkpoint& tower,
                                                     Backend& backend, WeightFormat format);

}  // namespace uhd
