#include "model/vision/resampler.h"

#include "model/vision/mlp_resampler.h"
#include "model/vision/perceiver_resampler.h"
#include "model/vision/pixel_shuffle.h"
#include "model/vision/spatial_resampler.h"

namespace uhd {

std::unique_ptr<Resampler> make_resampler(const ModelConfig& model, const Checkpoint& checkpoint,
                                          Backend& backend, WeightFormat format) {
  switch (model.resampler.kind) {
    case ResamplerKind::mlp:
      return std::make_unique<MlpResampler>(model, checkpoint, backend, format);
    case ResamplerKind::perceiver:
      return std::make_unique<PerceiverResampler>(model, checkpoint, backend, format);
    case ResamplerKind::spatial:
      return std::make_unique<SpatialResampler>(model, checkpoint, backend, format);
    case ResamplerKind::pixel_shuffle:
      return std::make_unique<PixelShuffle>(model, checkpoint, backend, format);
  }
  throw Error("a resampler of no known kind");
}

}  // namespace uhd
