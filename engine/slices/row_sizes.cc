#include "engine/slices/row_sizes.h"

#include <algorithm>

#include "model/vision/slice_rows.h"

namespace uhd {

int64_t batch_patches(const EngineOptions& options, bool host_memory) {
  constexpr int64_t kOnHost = 1024;
  constexpr int64_t kOnDevice = 4096;
  if (options.encoders.batch_patches > 0) return options.encoders.batch_patches;
  return host_memory ? kOnHost : kOnDevice;
}

EncoderLimits encoder_limits(const EngineOptions& options, bool host_memory) {
  EncoderLimits limits;
  limits.max_patches = std::max(batch_patches(options, host_memory), options.image.limits.max_piece_patches);
  return limits;
}

int max_piece_rows(const ModelConfig& config, const ImageOptions& options) {
  if (!config.vision) return 0;
  const SliceRows rows = slice_rows_of(config);
  if (config.slicing.kind == SlicingConfig::Kind::adaptive) {
    return static_cast<int>(rows.most(options.limits.max_piece_patches, 1));
  }
  const int side = config.slicing.scale / config.slicing.patch;
  return static_cast<int>(rows.of({side, side}));
}

int64_t visual_store_rows(const ModelConfig& model, const EngineOptions& options, int64_t element) {
  if (!model.vision) return 0;
  const int64_t rows = options.visual_cache_bytes / (model.language.hidden * element);
  const int64_t one_image = int64_t{max_piece_rows(model, options.image)} * (model.slicing.max_slices + 1);
  return std::clamp<int64_t>(rows, one_image, int64_t{1} << 30);
}

}  // namespace uhd
