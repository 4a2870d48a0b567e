#include "model/vision/resampled_tower.h"

#include <algorithm>
#include <vector>

namespace uhd {

ResampledTower::ResampledTower(const VisionConfig& config, Backend& backend,
                               std::unique_ptr<FeatureEncoder> features, std::unique_ptr<Resampler> resampler)
    : backend_(backend), config_(config), features_(std::move(features)), resampler_(std::move(resampler)) {}

Parts ResampledTower::forward(Tensor out, Tensor pixels, std::span<const PixelSlice> slices,
                              Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  std::vector<PatchGrid> grids;
  int64_t patches = 0;
  for (const PixelSlice& slice : slices) {
    grids.push_back({slice.height / config_.patch, slice.width / config_.patch});
    patches += grids.back().patches();
  }
  const Tensor features = workspace.take(backend_.activation_dtype(), {patches, config_.hidden});
  const auto patchify = [this, pixels, slices](Tensor rows) {
    PatchNormalisation normalisation;
    std::copy(config_.mean.begin(), config_.mean.end(), normalisation.mean);
    std::copy(config_.deviation.begin(), config_.deviation.end(), normalisation.deviation);
    backend_.patchify(rows, pixels, slices, config_.patch, normalisation);
  };
  for (Parts layers = features_->forward(features, patchify, grids, workspace); layers.advance();) {
    co_yield Parts::Pause{};
  }
  resampler_->forward(out, features, grids, workspace);
}

void ResampledTower::prepare(Tensor out, int64_t max_patches, int max_slices, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor features = workspace.take(backend_.activation_dtype(), {max_patches, config_.hidden});
  features_->prepare(max_patches, max_slices, workspace);
  resampler_->prepare(out, features, max_slices, workspace);
}

}  // namespace uhd
