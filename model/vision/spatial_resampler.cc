#include "model/vision/spatial_resampler.h"

#include <cmath>

namespace uhd {
namespace {

constexpr int64_t kMostBins = 12;
constexpr int kShapes[][2] = {{4, 2}, {3, 2}, {4, 3}, {3, 3}, {2, 4}, {2, 3}, {3, 4}};  // columns, rows

}  // namespace

PatchGrid bins_of(PatchGrid grid) {
  const double aspect = std::log(static_cast<double>(grid.columns) / grid.rows);
  double smallest = INFINITY;
  PatchGrid best;
  for (const auto& shape : kShapes) {
    const double distance = std::abs(aspect - std::log(static_cast<double>(shape[0]) / shape[1]));
    if (distance < smallest) {
      smallest = distance;
      best = {shape[1], shape[0]};
    }
  }
  return best;
}

SpatialResampler::SpatialResampler(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                                   WeightFormat format)
    : backend_(backend),
      attention_(model, checkpoint, backend, format),
      side_(static_cast<int>(std::lround(std::sqrt(model.resampler.queries)))),
      table_(Loader(checkpoint, backend, format).matrix(model.prefix_resampler + "pos_embed")),
      positions_(backend, model.resampler.width) {}

void SpatialResampler::forward(Tensor out, Tensor features, std::span<const PatchGrid> grids,
                               Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const Tensor value = workspace.take(dtype, {features.rows(), attention_.width()});
  const Tensor key = workspace.take(dtype, {features.rows(), attention_.width()});
  attention_.project(value, features);
  int64_t first = 0, first_out = 0;
  for (const PatchGrid& grid : grids) {
    const Tensor positions = positions_.get(grid, [&](Tensor rows) {
      backend_.interpolate_positions(rows, table_.view, grid.rows, grid.columns);
    });
    const Tensor own_value = value.slice_rows(first, grid.patches());
    const Tensor own_key = key.slice_rows(first, grid.patches());
    backend_.add(own_key, own_value, positions);
    // Slice by slice: a slice's samples outnumber its patches, and they are enough rows to fill a matmul.
    attend_slice(out.slice_rows(first_out, attention_.queries()), own_key, own_value, grid, workspace);
    first += grid.patches();
    first_out += attention_.queries();
  }
}

void SpatialResampler::attend_slice(Tensor out, Tensor key, Tensor value, PatchGrid grid,
                                    Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const PatchGrid bins = bins_of(grid);
  const int64_t windows = attention_.queries();
  const auto per_window = static_cast<int32_t>(bins.patches());
  const AlignGrid align{.rows = grid.rows,
                        .columns = grid.columns,
                        .window_rows = side_,
                        .window_columns = side_,
                        .bin_rows = bins.rows,
                        .bin_columns = bins.columns};
  const DType dtype = backend_.activation_dtype();
  const Tensor keys = workspace.take(dtype, {windows * per_window, attention_.width()});
  const Tensor values = workspace.take(dtype, {windows * per_window, attention_.width()});
  backend_.region_align(keys, key, {&align, 1});
  backend_.region_align(values, value, {&align, 1});
  std::vector<int32_t> q_offsets, kv_offsets;
  for (int32_t i = 0; i <= windows; ++i) {
    q_offsets.push_back(i);
    kv_offsets.push_back(i * per_window);
  }
  attention_.attend(out, keys, values, 1,
                    {workspace.put(q_offsets), workspace.put(kv_offsets), 1, per_window}, workspace);
}

// A slice is attended alone, with as many keys as the bins of its windows.
void SpatialResampler::prepare(Tensor out, Tensor features, int, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const int64_t queries = attention_.queries();
  {
    const Workspace::Scope projecting(workspace);
    const Tensor value = workspace.take(dtype, {features.rows(), attention_.width()});
    for (int64_t p = features.rows(); p > 0; --p)
      attention_.prepare_projection(value.slice_rows(0, p), features.slice_rows(0, p));
  }
  const Tensor keys = workspace.take(dtype, {queries * kMostBins, attention_.width()});
  const Tensor values = workspace.take(dtype, {queries * kMostBins, attention_.width()});
  for (const auto& shape : kShapes) {
    const int64_t rows = queries * shape[0] * shape[1];
    attention_.prepare_keys(keys.slice_rows(0, rows), values.slice_rows(0, rows), workspace);
  }
  attention_.prepare_queries(out.slice_rows(0, queries), workspace);
}

}  // namespace uhd
