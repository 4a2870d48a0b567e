#include "model/vision/clip_encoder.h"

namespace uhd {

ClipEncoder::ClipEncoder(const ModelConfig& model, const Checkpoint& tower, Backend& backend,
                         WeightFormat format)
    : backend_(backend), config_(*model.vision) {
  Loader loader(tower, backend, unquantized(format));
  load_embeddings(loader, model.prefix_vision + "embeddings.");
  pre_norm_ = load_layer_norm(loader, model.prefix_vision + "pre_layrnorm");
  vit_.emplace(config_, model.prefix_vision, loader, backend, format);
}

// The first row of the table is the class token's.
void ClipEncoder::load_embeddings(Loader& loader, const std::string& prefix) {
  patch_ = loader.whole(prefix + "patch_embedding.weight");
  const int64_t w = config_.hidden, side = config_.image / config_.patch;
  const std::string table = prefix + "position_embedding.weight";
  const std::vector<float> first = floats_of(loader.tensor(table).slice_rows(0, 1));
  std::vector<float> row = floats_of(loader.tensor(prefix + "class_embedding"));
  for (size_t i = 0; i < row.size(); ++i) row[i] += first[i];
  class_row_ = loader.activations(row, {1, w});
  positions_.emplace(backend_, loader.matrix(RowRange{table, 1, side * side}));
}

void ClipEncoder::embed(Tensor hidden, const PatchWriter& write_patches, std::span<const PatchGrid> grids,
                        const Places& places, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t w = config_.hidden, count = places.patches.rows();
  const Tensor patches = take_patches(config_, count, backend_, workspace);
  write_patches(patches);
  const Tensor rows = workspace.take(hidden.dtype(), {count, w});
  backend_.matmul(rows, patches, patch_);
  positions_->add_to(rows, grids);
  backend_.scatter_rows(hidden, rows, places.patches);
  const std::vector<int32_t> zeros(grids.size(), 0);
  const Tensor classes = workspace.take(hidden.dtype(), {static_cast<int64_t>(grids.size()), w});
  backend_.gather_rows(classes, class_row_.view, workspace.put(zeros));
  backend_.scatter_rows(hidden, classes, places.classes);
}

Parts ClipEncoder::forward(Tensor out, PatchWriter write_patches, std::span<const PatchGrid> grids,
                           Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  std::vector<int32_t> offsets{0}, patches_at, classes_at;
  for (const PatchGrid& grid : grids) {
    const auto first = offsets.back(), length = static_cast<int32_t>(grid.patches()) + 1;
    classes_at.push_back(first);
    for (int32_t i = 1; i < length; ++i) patches_at.push_back(first + i);
    offsets.push_back(first + length);
  }
  const Tensor hidden = workspace.take(out.dtype(), {offsets.back(), config_.hidden});
  const Places places{workspace.put(patches_at), workspace.put(classes_at)};
  embed(hidden, write_patches, grids, places, workspace);
  const Vit::Pass pass = Vit::begin(hidden, offsets, workspace);
  show("embeddings", pass.hidden);
  backend_.layer_norm(pass.hidden, pass.hidden, pre_norm_.weight.view, pre_norm_.bias.view, config_.norm_eps);
  show("pre_layrnorm", pass.hidden);
  for (int i = 0; i < vit_->layers(); ++i) {
    vit_->run_layer(i, pass, workspace);
    show("hidden." + std::to_string(i + 1), pass.hidden);
    co_yield Parts::Pause{};
  }
  backend_.gather_rows(out, pass.hidden, places.patches);
}

void ClipEncoder::prepare(int64_t max_patches, int max_slices, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const Tensor hidden = workspace.take(dtype, {max_patches + max_slices, config_.hidden});
  {
    const Workspace::Scope embedding(workspace);
    const Tensor patches = take_patches(config_, max_patches, backend_, workspace);
    const Tensor rows = workspace.take(dtype, {max_patches, config_.hidden});
    for (int64_t p = max_patches; p > 0; --p)
      backend_.prepare_matmul(rows.slice_rows(0, p), patches.slice_rows(0, p), patch_);
  }
  vit_->prepare(hidden, workspace);
}

}  // namespace uhd
