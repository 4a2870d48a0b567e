// u8 slices to visual tokens: packs slices of many sizes and requests into passes, runs the tower and the
// compression layer.
#pragma once

#include <memory>
#include <span>

#include "model/vision/resampler.h"
#include "model/vision/visual_tokens.h"
#include "model/vision/vit.h"

namespace uhd {

// One slice's pixels, borrowed: u8 RGB HWC, sides multiples of the patch size.
struct SliceView {
  int width = 0;
  int height = 0;
  std::span<const uint8_t> pixels;
};

struct EncoderLimits {
  int64_t max_patches = 4096;  // of one pass, and of one slice
  int max_slices = 16;         // of one pass
};

// Not thread-safe; allocates its workspace once. Backend borrowed, must outlive the encoder and its results.
class VisionEncoder {
 public:
  // tower: the checkpoint of the vision tensors; the same as `checkpoint` where the tower is inside.
  VisionEncoder(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint& tower,
                Backend& backend, WeightFormat format, const EncoderLimits& limits = {});

  // Rows that a slice of this size becomes.
  int64_t tokens_of(int width, int height) const;

  // The result does not depend on which other slices are encoded with a slice. A slice that is not a multiple
  // of the patch size, lies about its bytes or exceeds the limits is an Error, before anything runs.
  VisualTokens encode(std::span<const SliceView> slices);
  // As encode, into rows [sum of tokens, H] of the activation type that the caller owns.
  void encode(Tensor out, std::span<const SliceView> slices);

  Vit& vit() { return vit_; }
  Resampler& resampler() { return *resampler_; }
  size_t workspace_bytes() const { return workspace_.capacity(); }

 private:
  void check_slice(const SliceView& slice) const;
  size_t pass_length(std::span<const SliceView> slices) const;
  void run_pass(Tensor out, std::span<const SliceView> slices);

  Backend& backend_;
  VisionConfig config_;
  int hidden_;
  EncoderLimits limits_;
  Vit vit_;
  std::unique_ptr<Resampler> resampler_;
  Workspace workspace_;
  std::vector<uint8_t> staged_;
};

}  // namespace uhd
