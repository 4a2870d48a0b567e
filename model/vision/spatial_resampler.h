// The released form (adapt_spatial_resampler): the feature grid is divided into as many equal windows as
// there are queries, and each query attends a small grid of samples of its own window.
#pragma once

#include "model/vision/cross_attention.h"
#include "model/vision/position_cache.h"
#include "model/vision/resampler.h"

namespace uhd {

class SpatialResampler : public Resampler {
 public:
  SpatialResampler(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                   WeightFormat format);
  void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids, Workspace& workspace) override;
  void prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) override;

 private:
  void attend_slice(Tensor out, Tensor key, Tensor value, PatchGrid grid, Workspace& workspace);

  Backend& backend_;
  CrossAttention attention_;
  int side_;            // windows a side: √Q
  DeviceTensor table_;  // [Q, E]
  PositionCache positions_;
};

// Samples of a window: the first of the published shapes whose aspect is closest to the grid's.
PatchGrid bins_of(PatchGrid grid);

}  // namespace uhd
