// The paper's form: learned queries, one cross-attention over all patches of the slice.
#pragma once

#include "model/vision/cross_attention.h"
#include "model/vision/position_cache.h"
#include "model/vision/resampler.h"

namespace uhd {

class PerceiverResampler : public Resampler {
 public:
  PerceiverResampler(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                     WeightFormat format);
  void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids, Workspace& workspace) override;
  void prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) override;

 private:
  void fill_positions(PatchGrid grid, Tensor rows);

  Backend& backend_;
  CrossAttention attention_;
  DeviceTensor table_;  // [Q, E], interpolated to the grid; empty: sin-cos positions
  PositionCache positions_;
};

// MiniCPM-V's integer positions [rows · columns, width]: sine and cosine of the column in the first half of
// the channels, of the row in the second.
std::vector<float> sincos_positions(PatchGrid grid, int width);

}  // namespace uhd
