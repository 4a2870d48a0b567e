#include "model/vision/vision_tower.h"

#include "model/vision/resampled_tower.h"

namespace uhd {

// LLaVA-UHD v1, LLaVA-1.5 and MiniCPM-V 2.6 differ in the two parts of one form.
std::unique_ptr<VisionTower> make_vision_tower(const ModelConfig& model, const Checkpoint& checkpoint,
                                               const Checkpoint& tower, Backend& backend,
                                               WeightFormat format) {
  switch (model.family) {
    case Family::llava_uhd_v1:
    case Family::llava_15:
    case Family::minicpmv_26:
      return std::make_unique<ResampledTower>(*model.vision, backend,
                                              make_feature_encoder(model, tower, backend, format),
                                              make_resampler(model, checkpoint, backend, format));
    case Family::text:
      break;
  }
  throw Error("a language model has no vision tower");
}

}  // namespace uhd
