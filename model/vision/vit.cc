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

LayerNorm load_layer_norm(Loader& loader, const std::string& name) {
  return {loader.vector(name + ".weight"), loader.vector(name + ".bias")};
}

Vit::Vit(const VisionConfig& config, const std::string& prefix, Loader& loader, Backend& backend,
         WeightFormat format)
    : backend_(backend), config_(config), precise_(format == WeightFormat::f32) {
  for (int i = 0; i < config_.layers; ++i) {
    layers_.push_back(load_layer(prefix + "encoder.layers." + std::to_string(i) + ".", loader, format));
  }
}

Vit::Layer Vit::load_layer(const std::string& prefix, Loader& loader, WeightFormat format) const {
  const int64_t w = config_.hidden;
  const auto qkv = [&](const std::string& kind) {
    std::vector<RowRange> ranges;
    for (const char* name : {"q_proj.", "k_proj.", "v_proj."}) {
      ranges.push_back({message(prefix, "self_attn.", name, kind), 0, w});
    }
    return ranges;
  };
  Loader matrices = loader.in(format);
  Layer layer;
  layer.norm1 = load_layer_norm(loader, prefix + "layer_norm1");
  layer.qkv = matrices.rows(qkv("weight"));
  layer.qkv_bias = loader.vector(qkv("bias"));
  layer.out = matrices.whole(prefix + "self_attn.out_proj.weight");
  layer.out_bias = loader.vector(prefix + "self_attn.out_proj.bias");
  layer.norm2 = load_layer_norm(loader, prefix + "layer_norm2");
  layer.fc1 = matrices.whole(prefix + "mlp.fc1.weight");
  layer.fc1_bias = loader.vector(prefix + "mlp.fc1.bias");
  layer.fc2 = matrices.whole(prefix + "mlp.fc2.weight");
  layer.fc2_bias = loader.vector(prefix + "mlp.fc2.bias");
  for (Weight* matrix : {&layer.qkv, &layer.out, &layer.fc1, &layer.fc2})
    matrix->codes_only = format == WeightFormat::int8;
  return layer;
}

Vit::Rows Vit::take_rows(int64_t rows, Workspace& workspace) const {
  const int64_t w = config_.hidden;
  const DType dtype = backend_.activation_dtype();
  Rows taken;
  const int64_t block = backend_.host_memory() ? std::min(rows, kBlockRows) : rows;
  taken.normed = workspace.take(dtype, {block, w});
  const Tensor shared = workspace.take(dtype, {std::max(rows * 3 * w, block * config_.intermediate)});
  const auto matrix = [&](int64_t count, int64_t width) {
    return shared.slice_rows(0, count * width).reshaped({count, width});
  };
  taken.qkv = matrix(rows, 3 * w);
  taken.mlp = matrix(block, config_.intermediate);
  taken.attended = backend_.host_memory() ? taken.qkv.slice_columns(0, w) : taken.normed;
  return taken;
}

Vit::Pass Vit::begin(Tensor hidden, const std::vector<int32_t>& offsets, Workspace& workspace) {
  check(hidden.rows() == offsets.back(), hidden.rows(), " rows for slices of ", offsets.back());
  Pass pass{hidden, workspace.put(offsets)};
  for (size_t s = 1; s < offsets.size(); ++s)
    pass.longest = std::max(pass.longest, offsets[s] - offsets[s - 1]);
  return pass;
}

void Vit::run_layer(int index, const Pass& pass, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Rows own = take_rows(pass.hidden.rows(), workspace);
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const int64_t t = pass.hidden.rows(), w = config_.hidden, d = w / config_.heads;
  const Shape heads{t, config_.heads, d};
  const auto for_blocks = [&](const auto& body) {
    const int64_t most = std::max<int64_t>(1, own.normed.rows());
    for (int64_t first = 0; first < t; first += most) body(first, std::min(most, t - first));
  };
  for_blocks([&](int64_t first, int64_t count) {
    const Tensor normed = own.normed.slice_rows(0, count);
    backend_.layer_norm(normed, pass.hidden.slice_rows(first, count), layer.norm1.weight.view,
                        layer.norm1.bias.view, config_.norm_eps);
    backend_.matmul(own.qkv.slice_rows(first, count), normed, layer.qkv, {.bias = layer.qkv_bias.view});
  });
  backend_.packed_attention(own.attended.reshaped(heads), own.qkv.slice_columns(0, w).reshaped(heads),
                            own.qkv.slice_columns(w, w).reshaped(heads),
                            own.qkv.slice_columns(2 * w, w).reshaped(heads), pass.offsets, pass.offsets,
                            pass.longest, pass.longest, 1.0f / std::sqrt(static_cast<float>(d)), precise_);
  backend_.matmul(pass.hidden, own.attended, layer.out, {layer.out_bias.view, Epilogue::add});
  for_blocks([&](int64_t first, int64_t count) {
    const Tensor hidden = pass.hidden.slice_rows(first, count), normed = own.normed.slice_rows(0, count);
    const Tensor mlp = own.mlp.slice_rows(0, count);
    backend_.layer_norm(normed, hidden, layer.norm2.weight.view, layer.norm2.bias.view, config_.norm_eps);
    backend_.matmul(mlp, normed, layer.fc1, {layer.fc1_bias.view, epilogue_of(config_.activation)});
    backend_.matmul(hidden, mlp, layer.fc2, {layer.fc2_bias.view, Epilogue::add});
  });
}

void Vit::prepare(Tensor hidden, Workspace& workspace) {
  if (layers_.empty()) return;
  const Workspace::Scope scope(workspace);
  const Rows own = take_rows(hidden.rows(), workspace);
  const Layer& layer = layers_.front();
  for (int64_t t = own.normed.rows(); t > 0; --t) {
    const auto rows = [t](Tensor x) { return x.slice_rows(0, t); };
    backend_.prepare_matmul(rows(own.qkv), rows(own.normed), layer.qkv, {.bias = layer.qkv_bias.view});
    backend_.prepare_matmul(rows(hidden), rows(own.attended), layer.out,
                            {layer.out_bias.view, Epilogue::add});
    backend_.prepare_matmul(rows(own.mlp), rows(own.normed), layer.fc1,
                            {layer.fc1_bias.view, epilogue_of(config_.activation)});
    backend_.prepare_matmul(rows(hidden), rows(own.mlp), layer.fc2, {layer.fc2_bias.view, Epilogue::add});
  }
}

}  // namespace uhd
