// The part of a model that turns slices into the rows that its language model reads. The inside is the
// family's own: a resampler may compress the features of a ViT at the end, or layers of the tower merge
// patches on the way. slice_rows_of(model) says beforehand how many rows a slice becomes.
#pragma once

#include <memory>
#include <span>

#include "base/parts.h"
#include "kernels/workspace.h"
#include "model/config.h"
#include "model/weights/checkpoint.h"

namespace uhd {

// Not thread-safe: belongs to the thread that encodes.
class VisionTower {
 public:
  virtual ~VisionTower() = default;

  // Writes out [sum of the slices' rows, H of the language model], slice after slice. `pixels` holds the u8
  // slices on the device where `slices` say; their sides are multiples of the patch size. The rows of a slice
  // do not depend on the others of the pass. A part is about a layer. Between parts `pixels` belong to the
  // pass, and so does what it keeps of `workspace`; others may take more meanwhile, and give it back before
  // the next part.
  virtual Parts forward(Tensor out, Tensor pixels, std::span<const PixelSlice> slices,
                        Workspace& workspace) = 0;
  // Makes what the first passes of up to so many patches and slices would make: plans of products. `out`
  // holds the rows of the largest, and anything afterwards.
  virtual void prepare(Tensor out, int64_t max_patches, int max_slices, Workspace& workspace) = 0;
};

// Loads the tower of the model's family: the vision tensors from `tower`, what lies behind them from
// `checkpoint`, which is the same where the tower is inside. The backend is borrowed; the checkpoints are not
// needed afterwards.
std::unique_ptr<VisionTower> make_vision_tower(const ModelConfig& model, const Checkpoint& checkpoint,
                                               const Checkpoint& tower, Backend& backend,
                                               WeightFormat format);

}  // namespace uhd
