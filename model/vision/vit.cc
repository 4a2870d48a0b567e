#include "model/vision/vit.h"

#include <algorithm>
#include <cmath>

namespace uhd {
namespace {

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return Epilogue::gelu;
    case Activation::gelu_tanh:
      return Epilogue::gelu_tanh;
    case Activation::quick_gelu:
      return Epilogue::quick_gelu;
    case Activation::silu:
      break;
  }
  throw Error("a vision tower has no silu");
}

}  // namespace

// Tensors of one forward pass. T rows: every slice's class token, if it has one, and patches.
struct Vit::Pass {
  Tensor hidden;    // [T, W]
  Tensor normed;    // [T, W]
  Tensor qkv;       // [T, 3 W]
  Tensor attended;  // [T, W]
  Tensor mlp;       // [T, I]
  Tensor offsets;   // i32 [S+1]
  Tensor patch_at;  // i32 [P] rows of the patches
  Tensor class_at;  // i32 [S] rows of the class tokens
  int longest = 0;
};

Vit::Vit(const ModelConfig& model, const Checkpoint& tower, Backend& backend, WeightFormat format)
    : backend_(backend),
      config_(*model.vision),
      precise_(format == WeightFormat::f32),
      positions_(backend, model.vision->hidden, model.vision->bucket_positions ? 0 : PositionCache::kRows) {
  Loader loader(tower, backend, format);
  const std::string& prefix = model.prefix_vision;
  const std::string embeddings = prefix + "embeddings.";
  const auto norm = [&](const std::string& name) {
    return Norm{loader.vector(prefix + name + ".weight"), loader.vector(prefix + name + ".bias")};
  };
  patch_ = loader.whole(embeddings + "patch_embedding.weight");
  if (config_.patch_bias) patch_bias_ = loader.vector(embeddings + "patch_embedding.bias");

  const int64_t w = config_.hidden;
  const int64_t side = config_.image / config_.patch;
  std::vector<float> table = floats_of(loader.tensor(embeddings + "position_embedding.weight"));
  if (config_.class_token) {
    std::vector<float> row = floats_of(loader.tensor(embeddings + "class_embedding"));
    for (size_t i = 0; i < row.size(); ++i) row[i] += table[i];
    class_row_ = loader.activations(row, {1, w});
    table.erase(table.begin(), table.begin() + w);
  }
  position_table_ = loader.activations(table, {side * side, w});
  if (config_.pre_norm) pre_norm_ = norm("pre_layrnorm");
  for (int i = 0; i < config_.layers; ++i) {
    layers_.push_back(load_layer(prefix + "encoder.layers." + std::to_string(i) + ".", loader));
  }
  if (config_.post_norm) post_norm_ = norm("post_layernorm");
}

Vit::Layer Vit::load_layer(const std::string& prefix, Loader& loader) const {
  const int64_t w = config_.hidden;
  const auto qkv = [&](const std::string& kind) {
    std::vector<RowRange> ranges;
    for (const char* name : {"q_proj.", "k_proj.", "v_proj."}) {
      ranges.push_back({message(prefix, "self_attn.", name, kind), 0, w});
    }
    return ranges;
  };
  const auto norm = [&](const std::string& name) {
    return Norm{loader.vector(prefix + name + ".weight"), loader.vector(prefix + name + ".bias")};
  };
  Layer layer;
  layer.norm1 = norm("layer_norm1");
  layer.qkv = loader.rows(qkv("weight"));
  layer.qkv_bias = loader.vector(qkv("bias"));
  layer.out = loader.whole(prefix + "self_attn.out_proj.weight");
  layer.out_bias = loader.vector(prefix + "self_attn.out_proj.bias");
  layer.norm2 = norm("layer_norm2");
  layer.fc1 = loader.whole(prefix + "mlp.fc1.weight");
  layer.fc1_bias = loader.vector(prefix + "mlp.fc1.bias");
  layer.fc2 = loader.whole(prefix + "mlp.fc2.weight");
  layer.fc2_bias = loader.vector(prefix + "mlp.fc2.bias");
  return layer;
}

size_t Vit::workspace_bytes(int64_t max_patches, int max_slices) const {
  const auto size = static_cast<int64_t>(size_of(backend_.activation_dtype()));
  const int64_t rows = max_patches + (config_.class_token ? max_slices : 0);
  const int64_t w = config_.hidden;
  const int64_t activations = rows * (6 * w + config_.intermediate) + (max_patches + max_slices) * w;
  const int64_t indices = 2 * max_patches + 3 * int64_t{max_slices} + 1;
  return static_cast<size_t>(activations * size + indices * 4 + 16 * 64);
}

Tensor Vit::positions_of(PatchGrid grid) {
  return positions_.get(grid, [&](Tensor rows) {
    backend_.interpolate_positions(rows, position_table_.view, grid.rows, grid.columns);
  });
}

void Vit::embed(Pass& pass, Tensor patches, std::span<const PatchGrid> grids, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t w = config_.hidden;
  Tensor rows = pass.hidden;
  if (config_.class_token) rows = workspace.take(pass.hidden.dtype(), {patches.rows(), w});
  backend_.matmul(rows, patches, patch_, {.bias = patch_bias_.view});
  if (config_.bucket_positions) {
    std::vector<int32_t> ids;
    for (const PatchGrid& grid : grids) {
      const auto of_slice = bucket_positions(grid, config_.image / config_.patch);
      ids.insert(ids.end(), of_slice.begin(), of_slice.end());
    }
    backend_.add_rows(rows, position_table_.view, workspace.put(ids));
  } else {
    int64_t first = 0;
    for (const PatchGrid& grid : grids) {
      const Tensor own = rows.slice_rows(first, grid.patches());
      backend_.add(own, own, positions_of(grid));
      first += grid.patches();
    }
  }
  if (!config_.class_token) return;
  backend_.scatter_rows(pass.hidden, rows, pass.patch_at);
  const auto slices = static_cast<int64_t>(grids.size());
  const std::vector<int32_t> zeros(grids.size(), 0);
  const Tensor classes = workspace.take(pass.hidden.dtype(), {slices, w});
  backend_.gather_rows(classes, class_row_.view, workspace.put(zeros));
  backend_.scatter_rows(pass.hidden, classes, pass.class_at);
}

void Vit::run_layer(const Layer& layer, Pass& pass) {
  const int64_t t = pass.hidden.rows(), w = config_.hidden, d = w / config_.heads;
  const Shape heads{t, config_.heads, d};
  backend_.layer_norm(pass.normed, pass.hidden, layer.norm1.weight.view, layer.norm1.bias.view,
                      config_.norm_eps);
  backend_.matmul(pass.qkv, pass.normed, layer.qkv, {.bias = layer.qkv_bias.view});
  backend_.packed_attention(pass.attended.reshaped(heads), pass.qkv.slice_columns(0, w).reshaped(heads),
                            pass.qkv.slice_columns(w, w).reshaped(heads),
                            pass.qkv.slice_columns(2 * w, w).reshaped(heads), pass.offsets, pass.offsets,
                            pass.longest, pass.longest, 1.0f / std::sqrt(static_cast<float>(d)), precise_);
  backend_.matmul(pass.hidden, pass.attended, layer.out, {layer.out_bias.view, Epilogue::add});
  backend_.layer_norm(pass.normed, pass.hidden, layer.norm2.weight.view, layer.norm2.bias.view,
                      config_.norm_eps);
  backend_.matmul(pass.mlp, pass.normed, layer.fc1, {layer.fc1_bias.view, epilogue_of(config_.activation)});
  backend_.matmul(pass.hidden, pass.mlp, layer.fc2, {layer.fc2_bias.view, Epilogue::add});
}

void Vit::forward(Tensor out, Tensor patches, std::span<const PatchGrid> grids, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t w = config_.hidden;
  const int extra = config_.class_token ? 1 : 0;
  std::vector<int32_t> offsets{0}, patch_at, class_at;
  Pass pass;
  for (const PatchGrid& grid : grids) {
    const auto length = static_cast<int32_t>(grid.patches() + extra);
    if (extra > 0) class_at.push_back(offsets.back());
    for (int32_t i = extra; i < length; ++i) patch_at.push_back(offsets.back() + i);
    offsets.push_back(offsets.back() + length);
    pass.longest = std::max(pass.longest, length);
  }
  check(static_cast<int64_t>(patch_at.size()) == patches.rows(), patches.rows(), " patches for grids of ",
        patch_at.size());
  const int64_t t = offsets.back();
  const DType dtype = backend_.activation_dtype();
  pass.hidden = workspace.take(dtype, {t, w});
  pass.normed = workspace.take(dtype, {t, w});
  pass.qkv = workspace.take(dtype, {t, 3 * w});
  pass.attended = workspace.take(dtype, {t, w});
  pass.mlp = workspace.take(dtype, {t, config_.intermediate});
  pass.offsets = workspace.put(offsets);
  if (extra > 0) {
    pass.patch_at = workspace.put(patch_at);
    pass.class_at = workspace.put(class_at);
  }

  embed(pass, patches, grids, workspace);
  show("embeddings", pass.hidden);
  if (config_.pre_norm) {
    backend_.layer_norm(pass.hidden, pass.hidden, pre_norm_.weight.view, pre_norm_.bias.view,
                        config_.norm_eps);
    show("pre_layrnorm", pass.hidden);
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    run_layer(layers_[i], pass);
    show("hidden." + std::to_string(i + 1), pass.hidden);
  }
  Tensor features = pass.hidden;
  if (config_.post_norm) {
    backend_.layer_norm(pass.normed, pass.hidden, post_norm_.weight.view, post_norm_.bias.view,
                        config_.norm_eps);
    features = pass.normed;
  }
  if (extra > 0) {
    backend_.gather_rows(out, features, pass.patch_at);
  } else {
    backend_.cast(out, features);
  }
}

}  // namespace uhd
