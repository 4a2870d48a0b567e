#include "model/vision/slice_rows.h"

#include "base/error.h"

namespace uhd {

SliceRows slice_rows_of(const ModelConfig& model) {
  switch (model.resampler.kind) {
    case ResamplerKind::perceiver:
    case ResamplerKind::spatial:
      return {.each = model.resampler.queries};
    case ResamplerKind::pixel_shuffle:
      return {.each = 0, .patches_per_row = model.resampler.shuffle * model.resampler.shuffle};
    case ResamplerKind::mlp:
      break;
  }
  check(model.vision.has_value(), "the model has no vision tower");
  return {.each = 0, .patches_per_row = 1};
}

}  // namespace uhd
