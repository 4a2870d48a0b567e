// A tower whose features are compressed at the end: a ViT, then a resampler.
#pragma once

#include "model/vision/feature_encoder.h"
#include "model/vision/resampler.h"
#include "model/vision/vision_tower.h"

namespace uhd {

class ResampledTower final : public VisionTower {
 public:
  ResampledTower(const VisionConfig& config, Backend& backend, std::unique_ptr<FeatureEncoder> features,
                 std::unique_ptr<Resampler> resampler);

  Parts forward(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, Workspace& workspace) override;
  void prepare(Tensor out, int64_t max_patches, int max_slices, Workspace& workspace) override;

 private:
  Backend& backend_;
  VisionConfig config_;
  std::unique_ptr<FeatureEncoder> features_;
  std::unique_ptr<Resampler> resampler_;
};

}  // namespace uhd
