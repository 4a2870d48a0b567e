#include "model/vision/vision_tower.h"

#include "model/vision/resampled_tower.h"

namespace uhd {

// LLaVA-UHD v1, LLaVA-1.5 and MiniCPM differ in the two parts of one form.
std::unique_ptr<VisionTower> make_vision_tower(const ModelConfig& model, const Checkpoint& checkpoint,
                                               const Checkpoint& tower, Backend& backend,
                                               WeightFormat format) {
  switch (model.family) {
    case Family::llava_uhd_v1:
    case Family::llava_15:
    case Family::minicpmv_26:
    case Family::minicpmv_40:
    case Family::minicpmv_45:
    case Family::minicpmo_26:
    case Family::minicpmo_45:
    case Family::smolvlm:
      return std::make_unique<ResampledTower>(
          *model.vision, backend, make_feature_encoder(model, tower, backend, format),
          make_resampler(model, checkpoint, backend, unquantized(format)));
    case Family::text:
      break;
  }
  throw Error("a language model has no vision tower");
}

}  // namespace uhd
