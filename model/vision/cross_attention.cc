#include "model/vision/cross_attention.h"

#include <cmath>

namespace uhd {

CrossAttention::CrossAttention(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend,
                               WeightFormat format)
    : backend_(backend), config_(model.resampler) {
  Loader loader(checkpoint, backend, format);
  const std::string& prefix = model.prefix_resampler;
  const int64_t e = config_.width;
  const auto norm = [&](const std::string& name) {
    return Norm{loader.vector(prefix + name + ".weight"), loader.vector(prefix + name + ".bias")};
  };
  // in_proj holds the projections of queries, keys and values one under another.
  const auto part = [&](const std::string& kind, int64_t index) {
    return RowRange{prefix + "attn.in_proj_" + kind, index * e, e};
  };
  const RowRange key = part("weight", 1), value = part("weight", 2);
  const RowRange key_bias = part("bias", 1), value_bias = part("bias", 2);
  // Scores say where a query looks: an error in them is exponentiated, and one of bf16's roundings there
  // moves the features more than all others of this layer together. So they are formed in f32 wherever
  // activations are f32; activations of bf16 are multiplied in bf16 alone.
  Loader scores(checkpoint, backend, backend.activation_dtype() == DType::f32 ? WeightFormat::f32 : format);
  kv_proj_ = loader.whole(prefix + "kv_proj.weight");
  ln_kv_ = norm("ln_kv");
  ln_post_ = norm("ln_post");
  key_ = scores.rows({&key, 1});
  value_ = loader.rows({&value, 1});
  key_bias_ = loader.vector({&key_bias, 1});
  value_bias_ = loader.vector({&value_bias, 1});
  out_ = loader.whole(prefix + "attn.out_proj.weight");
  out_bias_ = loader.vector(prefix + "attn.out_proj.bias");
  proj_ = loader.transposed(prefix + "proj");
  query_ = project_queries(prefix, scores);
}

DeviceTensor CrossAttention::project_queries(const std::string& prefix, Loader& loader) const {
  const int64_t q = config_.queries, e = config_.width;
  const RowRange weight_rows{prefix + "attn.in_proj_weight", 0, e},
      bias_rows{prefix + "attn.in_proj_bias", 0, e};
  const Weight weight = loader.rows({&weight_rows, 1});
  const DeviceTensor bias = loader.vector({&bias_rows, 1});
  const DeviceTensor gain = loader.vector(prefix + "ln_q.weight"),
                     shift = loader.vector(prefix + "ln_q.bias");
  const DeviceTensor learned = loader.matrix(prefix + "query");
  const DType dtype = backend_.activation_dtype();
  const size_t bytes = static_cast<size_t>(q * e) * size_of(dtype);
  const DeviceBuffer normed_memory = backend_.allocate(bytes);
  const Tensor normed = normed_memory.as(dtype, {q, e});
  backend_.layer_norm(normed, learned.view, gain.view, shift.view, config_.norm_eps);
  DeviceTensor positions;
  if (!config_.sincos_keys) {
    positions = loader.matrix(prefix + "pos_embed");
    backend_.add(normed, normed, positions.view);
  }
  DeviceTensor projected{backend_.allocate(bytes), {}};
  projected.view = projected.memory.as(dtype, {q, e});
  backend_.matmul(projected.view, normed, weight, {.bias = bias.view});
  backend_.synchronize();  // before the temporaries go
  return projected;
}

void CrossAttention::project(Tensor out, Tensor features) {
  backend_.matmul(out, features, kv_proj_);
  backend_.layer_norm(out, out, ln_kv_.weight.view, ln_kv_.bias.view, config_.norm_eps);
}

void CrossAttention::attend(Tensor out, Tensor key, Tensor value, int64_t repeats, const Segments& segments,
                            Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t e = config_.width, d = e / config_.heads;
  const int64_t rows = repeats * config_.queries;
  const DType dtype = backend_.activation_dtype();
  std::vector<int32_t> repeated(static_cast<size_t>(rows));
  for (size_t i = 0; i < repeated.size(); ++i) repeated[i] = static_cast<int32_t>(i) % config_.queries;
  const Tensor q = workspace.take(dtype, {rows, e});
  const Tensor k = workspace.take(dtype, {key.rows(), e});
  const Tensor v = workspace.take(dtype, {key.rows(), e});
  const Tensor attended = workspace.take(dtype, {rows, e});
  const Tensor mixed = workspace.take(dtype, {rows, e});
  backend_.gather_rows(q, query_.view, workspace.put(repeated));
  backend_.matmul(k, key, key_, {.bias = key_bias_.view});
  backend_.matmul(v, value, value_, {.bias = value_bias_.view});
  const auto heads = [&](Tensor t) { return t.reshaped({t.rows(), config_.heads, d}); };
  backend_.packed_attention(heads(attended), heads(q), heads(k), heads(v), segments.q_offsets,
                            segments.kv_offsets, segments.max_q, segments.max_kv,
                            1.0f / std::sqrt(static_cast<float>(d)), true);
  backend_.matmul(mixed, attended, out_, {.bias = out_bias_.view});
  backend_.layer_norm(mixed, mixed, ln_post_.weight.view, ln_post_.bias.view, config_.norm_eps);
  backend_.matmul(out, mixed, proj_);
}

void CrossAttention::prepare_projection(Tensor out, Tensor features) {
  backend_.prepare_matmul(out, features, kv_proj_);
}

void CrossAttention::prepare_keys(Tensor key, Tensor value, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor projected = workspace.take(backend_.activation_dtype(), key.shape());
  backend_.prepare_matmul(projected, key, key_, {.bias = key_bias_.view});
  backend_.prepare_matmul(projected, value, value_, {.bias = value_bias_.view});
}

void CrossAttention::prepare_queries(Tensor out, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const Tensor attended = workspace.take(dtype, {out.rows(), config_.width});
  const Tensor mixed = workspace.take(dtype, {out.rows(), config_.width});
  backend_.prepare_matmul(mixed, attended, out_, {.bias = out_bias_.view});
  backend_.prepare_matmul(out, mixed, proj_);
}

}  // namespace uhd
