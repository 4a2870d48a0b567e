#include "model/vision/feature_encoder.h"

#include "model/vision/clip_encoder.h"
#include "model/vision/siglip_encoder.h"

namespace uhd {

Tensor take_patches(const VisionConfig& config, int64_t patches, const Backend& backend,
                    Workspace& workspace) {
  return workspace.take(backend.activation_dtype(), {patches, int64_t{3} * config.patch * config.patch});
}

std::unique_ptr<FeatureEncoder> make_feature_encoder(const ModelConfig& model, const Checkpoint& tower,
                                                     Backend& backend, WeightFormat format) {
  switch (model.vision->kind) {
    case VisionConfig::Kind::clip:
      return std::make_unique<ClipEncoder>(model, tower, backend, format);
    case VisionConfig::Kind::siglip:
      return std::make_unique<SiglipEncoder>(model, tower, backend, format);
  }
  throw Error("a vision tower of no known kind");
}

}  // namespace uhd
