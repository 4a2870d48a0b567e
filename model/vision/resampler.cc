#include "model/vision/resampler.h"

#include "model/vision/perceiver_resampler.h"
#include "model/vision/projector.h"
#include "model/vision/spatial_resampler.h"

namespace uhd {

std::unique_ptr<Resampler> make_resampler(const ModelConfig& model, const Checkpoint& checkpoint,
                                          Backend& backend, WeightFormat format) {
  switch (model.projector.kind) {
    case ProjectorKind::mlp:
      return std::make_unique<Projector>(model, checkpoint, backend, format);
    case ProjectorKind::perceiver:
      return std::make_unique<PerceiverResampler>(model, checkpoint, backend, format);
    case ProjectorKind::spatial:
      return std::make_unique<SpatialResampler>(model, checkpoint, backend, format);
  }
  throw Error("a projector of no known kind");
}

}  // namespace uhd
