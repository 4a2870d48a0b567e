#include "model/vision/siglip_encoder.h"

namespace uhd {

SiglipEncoder::SiglipEncoder(const ModelConfig& model, const Checkpoint& tower, Backend& backend,
                             WeightFormat format)
    : backend_(backend), config_(*model.vision) {
  Loader loader(tower, backend, unquantized(format));
  const std::string embeddings = model.prefix_vision + "embeddings.";
  patch_ = loader.whole(embeddings + "patch_embedding.weight");
  patch_bias_ = loader.vector(embeddings + "patch_embedding.bias");
  DeviceTensor table = loader.matrix(embeddings + "position_embedding.weight");
  if (config_.bucket_positions) {
    table_ = std::move(table);
  } else {
    positions_.emplace(backend, std::move(table));
  }
  if (config_.post_norm) post_norm_ = load_layer_norm(loader, model.prefix_vision + "post_layernorm");
  vit_.emplace(config_, model.prefix_vision, loader, backend, format);
}

void SiglipEncoder::embed(Tensor hidden, const PatchWriter& write_patches, std::span<const PatchGrid> grids,
                          Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor patches = take_patches(config_, hidden.rows(), backend_, workspace);
  write_patches(patches);
  backend_.matmul(hidden, patches, patch_, {.bias = patch_bias_.view});
  if (positions_) return positions_->add_to(hidden, grids);
  std::vector<int32_t> ids;
  for (const PatchGrid& grid : grids) {
    const auto of_slice = bucket_positions(grid, config_.image / config_.patch, config_.equal_fractions);
    ids.insert(ids.end(), of_slice.begin(), of_slice.end());
  }
  backend_.add_rows(hidden, table_.view, workspace.put(ids));
}

Parts SiglipEncoder::forward(Tensor out, PatchWriter write_patches, std::span<const PatchGrid> grids,
                             Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  std::vector<int32_t> offsets{0};
  for (const PatchGrid& grid : grids)
    offsets.push_back(offsets.back() + static_cast<int32_t>(grid.patches()));
  embed(out, write_patches, grids, workspace);
  const Vit::Pass pass = Vit::begin(out, offsets, workspace);
  show("embeddings", pass.hidden);
  for (int i = 0; i < vit_->layers(); ++i) {
    vit_->run_layer(i, pass, workspace);
    show("hidden." + std::to_string(i + 1), pass.hidden);
    co_yield Parts::Pause{};
  }
  if (config_.post_norm)
    backend_.layer_norm(out, out, post_norm_.weight.view, post_norm_.bias.view, config_.norm_eps);
}

void SiglipEncoder::prepare(int64_t max_patches, int, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor hidden = workspace.take(backend_.activation_dtype(), {max_patches, config_.hidden});
  {
    const Workspace::Scope embedding(workspace);
    const Tensor patches = take_patches(config_, max_patches, backend_, workspace);
    for (int64_t p = max_patches; p > 0; --p) {
      backend_.prepare_matmul(hidden.slice_rows(0, p), patches.slice_rows(0, p), patch_,
                              {.bias = patch_bias_.view});
    }
  }
  vit_->prepare(hidden, workspace);
}

}  // namespace uhd
