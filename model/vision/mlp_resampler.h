// LLaVA-1.5's form: Linear, GELU, Linear on every patch.
#pragma once

#include "model/vision/resampler.h"
#include "model/weights/loader.h"

namespace uhd {

class MlpResampler : public Resampler {
 public:
  MlpResampler(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend, WeightFormat format);
  void forward(Tensor out, Tensor features, std::span<const PatchGrid> grids, Workspace& workspace) override;
  void prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) override;

 private:
  Backend& backend_;
  Weight first_, second_;
  DeviceTensor first_bias_, second_bias_;
};

}  // namespace uhd
