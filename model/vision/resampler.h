// The compression layer: features of a slice to the visual tokens that the language model reads. Three forms,
// named by the config: perceiver, spatial (each query its own region), and the plain MLP.
#pragma once

#include <memory>
#include <span>

#include "kernels/workspace.h"
#include "model/config.h"
#include "model/vision/position_cache.h"
#include "model/weights/checkpoint.h"

namespace uhd {

// Not thread-safe: belongs to the thread that encodes.
class Resampler {
 public:
  virtual ~Resampler() = default;
  // Rows that a slice of this grid becomes.
  virtual int64_t tokens_of(PatchGrid grid) const = 0;
  virtual size_t workspace_bytes(int64_t max_patches, int max_slices) const = 0;
  // out [sum of tokens, H] from features [P, W], slice after slice.
  virtual void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids,
                       Workspace& workspace) = 0;
};

// The form that the config asks for, its tensors under model.prefix_resampler. Backend borrowed; the
// checkpoint is not needed afterwards.
std::unique_ptr<Resampler> make_resampler(const ModelConfig& model, const Checkpoint& checkpoint,
                                          Backend& backend, WeightFormat format);

}  // namespace uhd
