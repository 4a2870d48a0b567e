#include "model/vision/perceiver_resampler.h"

#include <algorithm>
#include <cmath>

namespace uhd {

PerceiverResampler::PerceiverResampler(const ModelConfig& model, const Checkpoint& checkpoint,
                                       Backend& backend, WeightFormat format)
    : backend_(backend),
      attention_(model, checkpoint, backend, format),
      positions_(backend, model.resampler.width) {
  if (!model.resampler.sincos_keys) {
    table_ = Loader(checkpoint, backend, format).matrix(model.prefix_resampler + "pos_embed");
  }
}

void PerceiverResampler::fill_positions(PatchGrid grid, Tensor rows) {
  if (!table_.view.empty()) return backend_.interpolate_positions(rows, table_.view, grid.rows, grid.columns);
  if (backend_.rehearses()) return;  // nobody would read them
  const std::vector<float> values = sincos_positions(grid, static_cast<int>(attention_.width()));
  const Tensor host = Tensor::of(values.data(), rows.shape());
  if (rows.dtype() == DType::f32) return backend_.upload(rows, host);
  std::vector<bf16> rounded(values.begin(), values.end());
  backend_.upload(rows, Tensor::of(rounded.data(), rows.shape()));
}

void PerceiverResampler::forward(Tensor out, Tensor features, std::span<const PatchGrid> grids,
                                 Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const Tensor value = workspace.take(dtype, {features.rows(), attention_.width()});
  const Tensor key = workspace.take(dtype, {features.rows(), attention_.width()});
  attention_.project(value, features);
  CrossAttention::Segments segments;
  std::vector<int32_t> q_offsets{0}, kv_offsets{0};
  const auto queries = static_cast<int32_t>(attention_.queries());
  for (const PatchGrid& grid : grids) {
    const auto patches = static_cast<int32_t>(grid.patches());
    const Tensor positions = positions_.get(grid, [&](Tensor rows) { fill_positions(grid, rows); });
    backend_.add(key.slice_rows(kv_offsets.back(), patches), value.slice_rows(kv_offsets.back(), patches),
                 positions);
    q_offsets.push_back(q_offsets.back() + queries);
    kv_offsets.push_back(kv_offsets.back() + patches);
    segments.max_kv = std::max(segments.max_kv, patches);
  }
  segments.max_q = queries;
  segments.q_offsets = workspace.put(q_offsets);
  segments.kv_offsets = workspace.put(kv_offsets);
  attention_.attend(out, key, value, static_cast<int64_t>(grids.size()), segments, workspace);
}

void PerceiverResampler::prepare(Tensor out, Tensor features, int max_slices, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const Tensor value = workspace.take(dtype, {features.rows(), attention_.width()});
  const Tensor key = workspace.take(dtype, {features.rows(), attention_.width()});
  for (int64_t p = features.rows(); p > 0; --p) {
    attention_.prepare_projection(value.slice_rows(0, p), features.slice_rows(0, p));
    attention_.prepare_keys(key.slice_rows(0, p), value.slice_rows(0, p), workspace);
  }
  const int64_t queries = attention_.queries();
  for (int64_t slices = std::min<int64_t>(max_slices, out.rows() / queries); slices > 0; --slices)
    attention_.prepare_queries(out.slice_rows(0, slices * queries), workspace);
}

std::vector<float> sincos_positions(PatchGrid grid, int width) {
  const int quarter = width / 4;
  std::vector<float> values(static_cast<size_t>(grid.patches() * width));
  std::vector<double> frequency(static_cast<size_t>(quarter));
  for (int i = 0; i < quarter; ++i) {
    frequency[static_cast<size_t>(i)] = 1.0 / std::pow(10000.0, static_cast<double>(i) / quarter);
  }
  for (int64_t p = 0; p < grid.patches(); ++p) {
    float* row = values.data() + p * width;
    const int64_t places[2] = {p % grid.columns, p / grid.columns};
    for (int axis = 0; axis < 2; ++axis) {
      for (int i = 0; i < quarter; ++i) {
        const double angle = static_cast<double>(places[axis]) * frequency[static_cast<size_t>(i)];
        row[axis * 2 * quarter + i] = static_cast<float>(std::sin(angle));
        row[axis * 2 * quarter + quarter + i] = static_cast<float>(std::cos(angle));
      }
    }
  }
  return values;
}

}  // namespace uhd
