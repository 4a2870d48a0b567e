#include "model/vision/mlp_resampler.h"

#include <algorithm>

namespace uhd {

MlpResampler::MlpResampler(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                           WeightFormat format)
    : backend_(backend) {
  Loader loader(checkpoint, backend, format);
  const std::string first =
      model.prefix_resampler + (model.resampler.stored_in_sequence ? "0." : "linear_1.");
  const std::string second =
      model.prefix_resampler + (model.resampler.stored_in_sequence ? "2." : "linear_2.");
  first_ = loader.whole(first + "weight");
  first_bias_ = loader.vector(first + "bias");
  second_ = loader.whole(second + "weight");
  second_bias_ = loader.vector(second + "bias");
}

void MlpResampler::forward(Tensor out, Tensor features, std::span<const PatchGrid>, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor middle = workspace.take(backend_.activation_dtype(), {features.rows(), first_.n});
  backend_.matmul(middle, features, first_, {first_bias_.view, Epilogue::gelu});
  backend_.matmul(out, middle, second_, {.bias = second_bias_.view});
}

void MlpResampler::prepare(Tensor out, Tensor features, int, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor middle = workspace.take(backend_.activation_dtype(), {features.rows(), first_.n});
  for (int64_t p = std::min(features.rows(), out.rows()); p > 0; --p) {
    const Tensor own = middle.slice_rows(0, p);
    backend_.prepare_matmul(own, features.slice_rows(0, p), first_, {first_bias_.view, Epilogue::gelu});
    backend_.prepare_matmul(out.slice_rows(0, p), own, second_, {.bias = second_bias_.view});
  }
}

}  // namespace uhd
