#include "model/language/llama.h"

#include <algorithm>
#include <cmath>

#include "kernels/draw.h"
#include "model/language/rope_table.h"
#include "model/weights/parameters.h"

namespace uhd {

// Tensors of one forward pass. T tokens, H hidden.
struct Llama::Step {
  Tensor hidden;     // [T, H] the residual stream
  Tensor normed;     // [T, H]
  Tensor delta;      // [T, H] what the last half-layer adds to the stream
  Tensor qkv;        // [T, (Hq + 2 Hk) D]
  Tensor attended;   // [T, Hq D]
  Tensor gate_up;    // [T, 2 I]
  Tensor activated;  // [T, I]
  Tensor own_parts;  // [virtual shards of this rank, T, H] terms of what the ranks sum, if it is cut
  Tensor all_parts;  // [virtual shards, T, H]
  Tensor positions;
  Tensor slots;
  PagedSpans spans;
};

Llama::Llama(const ModelConfig& model, const Checkpoint& checkpoint, Backend& backend, Communicator& group,
             WeightFormat format, int max_context, int virtual_shards)
    : backend_(backend),
      group_(group),
      config_(model.language),
      shard_(shard_of(model.language, group.rank(), group.size())),
      max_context_(max_context),
      virtual_shards_(virtual_shards > 1 ? virtual_shards : 0) {
  require(max_context >= 1 && max_context <= config_.context, "a context of ", max_context,
          " tokens is outside the model's 1 to ", config_.context);
  Loader loader(checkpoint, backend, format);
  if (group.rank() == 0) loader.announce("language model", model.prefix_language);
  const int64_t first_id = std::min(shard_.first_id, config_.vocabulary);
  const std::string table = model.prefix_language + "embed_tokens.weight";
  const std::string head = config_.tied ? table : model.head;
  table_ = loader.table({table, first_id, shard_.real_ids});
  rope_ = loader.upload(rope_table(config_, max_context), {max_context, 2, config_.head_dim / 2});
  for (int i = 0; i < config_.layers; ++i) {
    layers_.push_back(load_layer(model.prefix_language + "layers." + std::to_string(i) + ".", loader));
  }
  final_norm_ = loader.vector(model.prefix_language + "norm.weight");
  const RowRange head_rows{head, first_id, shard_.real_ids};
  head_ = Loader(checkpoint, backend, head_format(format)).rows({&head_rows, 1}, shard_.ids);
}

Llama::Layer Llama::load_layer(const std::string& prefix, Loader& loader) const {
  const int64_t d = config_.head_dim;
  const auto qkv = [&](const char* kind) {
    const std::string at = prefix + "self_attn.";
    return std::vector<RowRange>{{at + "q_proj." + kind, shard_.first_head * d, shard_.heads * d},
                                 {at + "k_proj." + kind, shard_.first_kv_head * d, shard_.kv_heads * d},
                                 {at + "v_proj." + kind, shard_.first_kv_head * d, shard_.kv_heads * d}};
  };
  const std::vector<RowRange> gate_up{{prefix + "mlp.gate_proj.weight", shard_.first_unit, shard_.units},
                                      {prefix + "mlp.up_proj.weight", shard_.first_unit, shard_.units}};
  Layer layer;
  layer.input_norm = loader.vector(prefix + "input_layernorm.weight");
  layer.qkv = loader.rows(qkv("weight"));
  if (config_.qkv_bias) layer.qkv_bias = loader.vector(qkv("bias"));
  if (config_.head_norms) {
    layer.q_norm = loader.vector(prefix + "self_attn.q_norm.weight");
    layer.k_norm = loader.vector(prefix + "self_attn.k_norm.weight");
  }
  layer.out = load_columns(loader, prefix + "self_attn.o_proj.weight", shard_.first_head * config_.head_dim,
                           shard_.heads * config_.head_dim);
  layer.mlp_norm = loader.vector(prefix + "post_attention_layernorm.weight");
  layer.gate_up = loader.rows(gate_up);
  layer.down = load_columns(loader, prefix + "mlp.down_proj.weight", shard_.first_unit, shard_.units);
  return layer;
}

std::vector<Weight> Llama::load_columns(Loader& loader, const std::string& name, int first, int count) const {
  const int parts = virtual_shards_ == 0 ? 1 : virtual_shards_ / shard_.size;
  std::vector<Weight> weights;
  weights.reserve(static_cast<size_t>(parts));
  for (int i = 0; i < parts; ++i) {
    weights.push_back(loader.columns(name, first + count / parts * i, count / parts));
  }
  return weights;
}

void Llama::check_input(const ForwardInput& in, Tensor visual, Tensor drawn, const KvCache& cache) const {
  const size_t tokens = in.ids.size();
  const size_t sequences = in.kv_lengths.size();
  check(tokens > 0 && in.positions.size() == tokens && in.slots.size() == tokens, "a step of ", tokens,
        " tokens with ", in.positions.size(), " positions and ", in.slots.size(), " slots");
  check(in.q_offsets.size() == sequences + 1 && in.q_offsets.front() == 0 &&
            in.q_offsets.back() == static_cast<int32_t>(tokens) &&
            std::is_sorted(in.q_offsets.begin(), in.q_offsets.end()),
        "the offsets of ", sequences, " sequences do not divide ", tokens, " tokens");
  check(in.max_pages > 0 && in.page_table.size() == sequences * static_cast<size_t>(in.max_pages),
        "a page table of ", in.page_table.size(), " entries for ", sequences, " sequences");
  const auto all_within = [](const std::vector<int32_t>& values, int64_t limit) {
    return std::all_of(values.begin(), values.end(), [&](int32_t v) { return v >= 0 && v < limit; });
  };
  check(all_within(in.positions, max_context_), "a position is outside the context of ", max_context_);
  check(all_within(in.slots, int64_t{cache.pages()} * cache.page_size()), "a slot is outside the KV cache");
  for (size_t s = 0; s < sequences; ++s) {
    const int64_t pages = (in.kv_lengths[s] + cache.page_size() - 1) / cache.page_size();
    check(in.kv_lengths[s] >= in.q_offsets[s + 1] - in.q_offsets[s] && pages <= in.max_pages, "sequence ", s,
          " of a step has a length of ", in.kv_lengths[s]);
    for (int64_t p = 0; p < pages; ++p) {
      const int32_t page = in.page_table[s * static_cast<size_t>(in.max_pages) + static_cast<size_t>(p)];
      check(page >= 0 && page < cache.pages(), "page ", page, " of a step is outside the KV cache");
    }
  }
  check(in.visual_at.size() == in.visual_rows.size() &&
            all_within(in.visual_at, static_cast<int64_t>(tokens)) &&
            all_within(in.visual_rows, visual.empty() ? 0 : visual.rows()),
        "visual rows of a step are outside its tokens or the store");
  check(all_within(in.sample_at, static_cast<int64_t>(tokens)), "a sampled token is outside the step");
  check(all_within(in.score_at, static_cast<int64_t>(tokens)), "a scored token is outside the step");
  // Outside of the table is a row of zeros: right for what another rank holds, and for what an image takes
  // the place of.
  for (int32_t id : in.ids) {
    check(id >= -1 && id < config_.vocabulary, "a step holds the token ", id, " of ", config_.vocabulary);
  }
  check(in.draws.empty() || in.draws.size() == in.sample_at.size() * kDrawWords, "a step draws ",
        in.sample_at.size(), " tokens as ", in.draws.size(), " words say");
  check(in.drawn_at.empty() || in.drawn_at.size() == tokens, "a step of ", tokens, " tokens draws ",
        in.drawn_at.size());
  for (int32_t at : in.drawn_at) {
    check(at >= -1 && at < (drawn.empty() ? 0 : drawn.rows()), "a step takes the ", at,
          "-th id that was drawn");
  }
}

void Llama::embed(const StepInputs& in, Tensor hidden, Workspace& workspace) {
  if (!in.drawn_at.empty()) backend_.take_drawn(in.ids, in.drawn, in.drawn_at);
  backend_.embed(hidden, table_.view, in.ids, shard_.first_id);
  group_.all_reduce(hidden);
  if (in.visual_at.empty()) return;
  const Workspace::Scope scope(workspace);
  const Tensor rows = workspace.take(hidden.dtype(), {in.visual_at.rows(), config_.hidden});
  backend_.gather_rows(rows, in.visual, in.visual_rows);
  backend_.scatter_rows(hidden, rows, in.visual_at);
}

void Llama::attention(const Layer& layer, Step& step, KvLayer pages) {
  const int64_t t = step.hidden.rows(), d = config_.head_dim;
  const int64_t hq = shard_.heads, hk = shard_.kv_heads;
  const Tensor q = step.qkv.slice_columns(0, hq * d).reshaped({t, hq, d});
  const Tensor k = step.qkv.slice_columns(hq * d, hk * d).reshaped({t, hk, d});
  const Tensor v = step.qkv.slice_columns((hq + hk) * d, hk * d).reshaped({t, hk, d});
  backend_.matmul(step.qkv, step.normed, layer.qkv, {.bias = layer.qkv_bias.view});
  if (config_.head_norms) {
    backend_.head_norm(q, k, layer.q_norm.view, layer.k_norm.view, config_.norm_eps);
  }
  backend_.rope(q, k, step.positions, rope_.view);
  backend_.store_kv(pages, k, v, step.slots);
  backend_.paged_attention(step.attended.reshaped({t, hq, d}), q, pages, step.spans,
                           1.0f / std::sqrt(static_cast<float>(d)));
  summed_product(step, step.attended, layer.out);
}

// Computes the product of x, whose columns lie on all ranks, and sums it: into step.delta.
void Llama::summed_product(Step& step, Tensor x, const std::vector<Weight>& parts) {
  if (virtual_shards_ == 0) {
    backend_.matmul(step.delta, x, parts.front());
    return group_.all_reduce(step.delta);
  }
  const int64_t t = x.rows();
  const auto own = static_cast<int64_t>(parts.size());
  for (int64_t i = 0; i < own; ++i) {
    const Weight& part = parts[static_cast<size_t>(i)];
    backend_.matmul(step.own_parts.slice_rows(i * t, t), x.slice_columns(i * part.k, part.k), part);
  }
  const Tensor all = shard_.size == 1 ? step.own_parts : step.all_parts;
  if (shard_.size > 1) group_.all_gather(all, step.own_parts);
  const auto part = [&](int64_t i) { return all.slice_rows(i * t, t); };
  backend_.add(step.delta, part(0), part(1));
  for (int64_t i = 2; i < virtual_shards_; ++i) backend_.add(step.delta, step.delta, part(i));
}

void Llama::mlp(const Layer& layer, Step& step) {
  backend_.matmul(step.gate_up, step.normed, layer.gate_up);
  backend_.silu_mul(step.activated, step.gate_up);
  summed_product(step, step.activated, layer.down);
}

Tensor Llama::forward(const ForwardInput& in, Tensor visual, KvCache& cache, Workspace& workspace) {
  const StepInputs inputs = upload(in, visual, {}, cache, workspace);
  Tensor logits;
  if (!in.sample_at.empty()) {
    logits = workspace.take(DType::f32, {static_cast<int64_t>(in.sample_at.size()), shard_.ids});
  }
  compute(logits, inputs, cache, workspace);
  return logits;
}

StepInputs Llama::upload(const ForwardInput& in, Tensor visual, Tensor drawn, const KvCache& cache,
                         Workspace& workspace) {
  check_input(in, visual, drawn, cache);
  StepInputs inputs = put_step_inputs(in, cache.page_size(), staged_, workspace);
  inputs.visual = visual;
  inputs.drawn = drawn;
  return inputs;
}

Llama::Step Llama::take_step(int64_t t, Workspace& workspace) const {
  const DType dtype = backend_.activation_dtype();
  const int64_t h = config_.hidden, d = config_.head_dim;
  Step step;
  step.hidden = workspace.take(dtype, {t, h});
  step.normed = workspace.take(dtype, {t, h});
  step.delta = workspace.take(dtype, {t, h});
  step.qkv = workspace.take(dtype, {t, (shard_.heads + 2 * shard_.kv_heads) * d});
  step.attended = workspace.take(dtype, {t, shard_.heads * d});
  step.gate_up = workspace.take(dtype, {t, 2 * shard_.units});
  step.activated = workspace.take(dtype, {t, shard_.units});
  if (virtual_shards_ > 0) {
    step.own_parts = workspace.take(dtype, {virtual_shards_ / shard_.size * t, h});
    if (shard_.size > 1) step.all_parts = workspace.take(dtype, {virtual_shards_ * t, h});
  }
  return step;
}

void Llama::prepare(const StepLimits& limits, Workspace& workspace) {
  const Layer& layer = layers_.front();
  for (int t = limits.max_tokens; t > 0; --t) {
    const Workspace::Scope scope(workspace);
    const Step step = take_step(t, workspace);
    backend_.prepare_matmul(step.qkv, step.normed, layer.qkv, {.bias = layer.qkv_bias.view});
    if (virtual_shards_ == 0) backend_.prepare_matmul(step.delta, step.attended, layer.out.front());
    backend_.prepare_matmul(step.gate_up, step.normed, layer.gate_up);
    if (virtual_shards_ == 0) backend_.prepare_matmul(step.delta, step.activated, layer.down.front());
  }
  for (int64_t n = limits.max_sequences; n > 0; --n) {
    const Workspace::Scope scope(workspace);
    const Tensor last = workspace.take(backend_.activation_dtype(), {n, config_.hidden});
    backend_.prepare_matmul(workspace.take(DType::f32, {n, shard_.ids}), last, head_);
  }
}

void Llama::compute(Tensor logits, const StepInputs& in, KvCache& cache, Workspace& workspace,
                    Tensor scored) {
  const Workspace::Scope scope(workspace);
  const DType dtype = backend_.activation_dtype();
  const int64_t h = config_.hidden;
  Step step = take_step(in.ids.rows(), workspace);
  step.positions = in.positions;
  step.slots = in.slots;
  step.spans = in.spans;

  embed(in, step.hidden, workspace);
  for (int i = 0; i < config_.layers; ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    if (i == 0) {
      backend_.rms_norm(step.normed, step.hidden, layer.input_norm.view, config_.norm_eps);
    } else {
      backend_.add_rms_norm(step.hidden, step.delta, layer.input_norm.view, step.normed, config_.norm_eps);
    }
    if (observer_) observer_("hidden." + std::to_string(i), step.hidden);
    attention(layer, step, cache.layer(i));
    backend_.add_rms_norm(step.hidden, step.delta, layer.mlp_norm.view, step.normed, config_.norm_eps);
    mlp(layer, step);
  }
  backend_.add_rms_norm(step.hidden, step.delta, final_norm_.view, step.normed, config_.norm_eps);
  if (observer_) observer_("final_norm", step.normed);
  if (!in.score_at.empty()) backend_.gather_rows(scored, step.normed, in.score_at);
  if (in.sample_at.empty()) return;

  const Tensor last = workspace.take(dtype, {in.sample_at.rows(), h});
  backend_.gather_rows(last, step.normed, in.sample_at);
  backend_.matmul(logits, last, head_);
}

}  // namespace uhd
