// u8 slices to visual tokens: packs slices of many sizes and requests into passes of a tower.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/vision/slice_rows.h"
#include "model/vision/tower_memory.h"
#include "model/vision/vision_tower.h"
#include "model/vision/visual_tokens.h"

namespace uhd {

// One slice's pixels, borrowed: u8 RGB HWC, sides multiples of the patch size.
struct SliceView {
  int width = 0;
  int height = 0;
  std::span<const uint8_t> pixels;
};

// An encoder knows this of its tower's slices and rows.
struct TowerShape {
  int patch = 0;   // pixels a side
  SliceRows rows;  // rows of a slice
  int hidden = 0;  // H of the language model
};
TowerShape tower_shape(const ModelConfig& model);

// Not thread-safe. The backend is borrowed and must outlive the encoder and its
// results.
class VisionEncoder {
 public:
  // `workspace` has room for what a pass takes (pass_memory). Others may take from it between the parts of
  // encode(), if they give it back before the next part.
  VisionEncoder(std::unique_ptr<VisionTower> tower, TowerShape shape, Backend& backend,
                const EncoderLimits& limits, std::shared_ptr<Workspace> workspace);
  // Loads the model's tower (make_vision_tower).
  VisionEncoder(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint& tower,
                Backend& backend, WeightFormat format, const EncoderLimits& limits = {});

  // Returns how many rows a slice of this size becomes.
  int64_t tokens_of(int width, int height) const;

  // The result does not depend on which other slices are encoded with a slice, but for rounding on a device,
  // where a small slice beside a large one is attended by other code. A slice that is not a multiple
  // of the patch size, lies about its bytes or exceeds the limits is an Error, before anything runs.
  VisualTokens encode(std::span<const SliceView> slices);
  // As encode, in parts, into rows [sum of tokens, H] of the activation type that the caller owns. Nothing
  // else may be encoded in between.
  Parts encode(Tensor out, std::span<const SliceView> slices);
  // On a device: makes what only first uses make (plans of products, code), so that no slice waits for it.
  // `out` is what the largest passes write, [rows, H]; it holds anything afterwards. Nothing on the host.
  void warm_up(Tensor out);

 private:
  PatchGrid grid_of(const SliceView& slice) const;
  void check_slice(const SliceView& slice) const;
  size_t pass_length(std::span<const SliceView> slices) const;
  Parts run_pass(Tensor out, std::span<const SliceView> slices);

  Backend& backend_;
  TowerShape shape_;
  EncoderLimits limits_;
  std::unique_ptr<VisionTower> tower_;
  std::shared_ptr<Workspace> workspace_;
};

}  // namespace uhd
