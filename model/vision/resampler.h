// The compression layer: features of a slice to the visual tokens that the language model reads. Three forms,
// named by the config: perceiver, spatial (each query its own region), and the plain MLP.
#pragma once

#include <memory>
#include <span>

#include "kernels/workspace.h"
#include "model/config.h"
#include "model/vision/patch_grid.h"
#include "model/weights/checkpoint.h"

namespace uhd {

// Not thread-safe: belongs to the thread that encodes.
class Resampler {
 public:
  virtual ~Resampler() = default;
  // Writes out [rows of all slices, H] from features [P, W], slice after slice: as many rows of each as
  // slice_rows_of(model) says.
  virtual void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids,
                       Workspace& workspace) = 0;
  // Makes what the first passes of up to so many slices would make; `out` and `features` are those of the
  // largest.
  virtual void prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) = 0;
};

// Loads the form that the config asks for, its tensors under model.prefix_resampler. The backend is borrowed;
// the checkpoint is not needed afterwards.
std::unique_ptr<Resampler> make_resampler(const ModelConfig& model, const Checkpoint& checkpoint,
                                          Backend& backend, WeightFormat format);

}  // namespace uhd
