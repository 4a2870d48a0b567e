#include "model/weights/parameters.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "kernels/quantize.h"
#include "model/weights/shard.h"

namespace uhd {
namespace {

using Table = std::vector<Parameter>;

void add_linear(Table& table, const std::string& name, int64_t out, int64_t in, bool bias, ShardRule rule) {
  table.push_back({name + ".weight", {out, in}, rule});
  if (bias) table.push_back({name + ".bias", {out}, rule == ShardRule::row ? ShardRule::whole : rule});
}

void add_product(Table& table, const std::string& name, int64_t out, int64_t in, bool bias, ShardRule rule) {
  const size_t at = table.size();
  add_linear(table, name, out, in, bias, rule);
  table[at].product = true;
}

void add_norm(Table& table, const std::string& name, int64_t width, ShardRule rule = ShardRule::whole) {
  table.push_back({name + ".weight", {width}, rule});
  table.push_back({name + ".bias", {width}, rule});
}

bool ends_with_any(const std::string& name, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](const char* e) { return name.ends_with(e); });
}

bool starts_with_any(const std::string& name, std::initializer_list<const char*> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const char* b) { return name.starts_with(b); });
}

// Buffers that published files and trainers leave behind: tables that are computed here instead, masks,
// counters.
bool is_buffer(const std::string& name) {
  return ends_with_any(
      name, {"rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached",
             "rotary_emb.original_inv_freq", "rope.freqs", "position_ids", "masked_bias", "attn.bias",
             "attention.bias", "attn_mask", "causal_mask", "num_batches_tracked"});
}

// MiniCPM's resampler computes its tables of positions; some files hold them.
bool is_computed_table(const ModelConfig& model, const std::string& name) {
  return model.resampler.sincos_keys && (name == model.prefix_resampler + "pos_embed" ||
                                         name == model.prefix_resampler + "temporal_pos_embed");
}

bool is_left_aside(const ModelConfig& model, const std::string& name) {
  return std::any_of(model.left_aside.begin(), model.left_aside.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// Parts of a whole CLIP or SigLIP checkpoint that a vision tower does not have.
bool is_outside_tower(const std::string& name) {
  return starts_with_any(name, {"text_model.", "vision_model.head."}) ||
         ends_with_any(name,
                       {"logit_scale", "logit_bias", "visual_projection.weight", "text_projection.weight"});
}

std::string text_of(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// Modules holds the names of the modules that the model computes with: its layers, and the modules that have
// parameters elsewhere.
class Modules {
 public:
  Modules(const Table& table, const ModelConfig& model) {
    layers_ = {model.prefix_language + "layers.", model.prefix_vision + "encoder.layers."};
    for (const Parameter& p : table) modules_.insert(p.name.substr(0, p.name.rfind('.') + 1));
  }
  // An unknown tensor there, such as a bias or an adapter, would change the model's answers.
  bool hold(const std::string& name) const {
    for (const std::string& layers : layers_) {
      if (name.starts_with(layers)) return true;
    }
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      if (modules_.contains(name.substr(0, dot + 1))) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> layers_;
  std::set<std::string> modules_;
};

void check_expected(const Table& expected, const Checkpoint& checkpoint, std::vector<std::string>& problems) {
  for (const Parameter& p : expected) {
    const Tensor* found = checkpoint.find(p.name);
    if (found == nullptr) {
      // Files may leave out tensors that are never read.
      if (p.rule != ShardRule::unused) problems.push_back("tensor " + p.name + " is missing");
    } else if (found->shape() != p.shape) {
      problems.push_back("tensor " + p.name + " has shape " + text_of(found->shape()) + ", not " +
                         text_of(p.shape));
    } else if (found->dtype() != DType::f32 && found->dtype() != DType::bf16 &&
               found->dtype() != DType::f16) {
      problems.push_back("tensor " + p.name + " has type " + std::string(name_of(found->dtype())) +
                         ", not f32, bf16 or f16");
    }
  }
}

// Tensors of the file that the model does not have.
std::vector<std::string> others_in(const Table& expected, const Checkpoint& checkpoint) {
  std::set<std::string> known;
  for (const Parameter& p : expected) known.insert(p.name);
  std::vector<std::string> others;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (!known.contains(name)) others.push_back(name);
  }
  return others;
}

void check_file(const Table& expected, const Checkpoint& checkpoint, const ModelConfig& model,
                std::vector<std::string>& problems) {
  check_expected(expected, checkpoint, problems);
  const Modules modules(expected, model);
  for (const std::string& name : others_in(expected, checkpoint)) {
    if (is_buffer(name) || is_computed_table(model, name) || !modules.hold(name)) continue;
    problems.push_back(
        "tensor " + name +
        " is not part of this model as config.json describes it, but lies in a module that it computes; "
        "to serve without it, remove it from the file");
  }
}

// The files of the model, and those of a tower of its own, must hold these.
struct Expected {
  Table own;
  Table tower;
};
Expected expected_of(const ModelConfig& model, bool own_tower) {
  Expected expected{language_parameters(model), vision_parameters(model)};
  const Table resampler = resampler_parameters(model);
  expected.own.insert(expected.own.end(), resampler.begin(), resampler.end());
  if (own_tower) return expected;
  expected.own.insert(expected.own.end(), expected.tower.begin(), expected.tower.end());
  expected.tower.clear();
  return expected;
}

}  // namespace

Table language_parameters(const ModelConfig& model) {
  const LanguageConfig& c = model.language;
  const std::string& prefix = model.prefix_language;
  const int64_t q = int64_t{c.heads} * c.head_dim;
  const int64_t kv = int64_t{c.kv_heads} * c.head_dim;
  Table table;
  table.push_back({prefix + "embed_tokens.weight", {c.vocabulary, c.hidden}, ShardRule::vocabulary});
  for (int i = 0; i < c.layers; ++i) {
    const std::string layer = prefix + "layers." + std::to_string(i) + ".";
    table.push_back({layer + "input_layernorm.weight", {c.hidden}, ShardRule::whole});
    add_product(table, layer + "self_attn.q_proj", q, c.hidden, c.qkv_bias, ShardRule::column);
    add_product(table, layer + "self_attn.k_proj", kv, c.hidden, c.qkv_bias, ShardRule::kv_heads);
    add_product(table, layer + "self_attn.v_proj", kv, c.hidden, c.qkv_bias, ShardRule::kv_heads);
    if (c.head_norms) {
      table.push_back({layer + "self_attn.q_norm.weight", {c.head_dim}, ShardRule::whole});
      table.push_back({layer + "self_attn.k_norm.weight", {c.head_dim}, ShardRule::whole});
    }
    add_product(table, layer + "self_attn.o_proj", c.hidden, q, false, ShardRule::row);
    table.push_back({layer + "post_attention_layernorm.weight", {c.hidden}, ShardRule::whole});
    add_product(table, layer + "mlp.gate_proj", c.intermediate, c.hidden, false, ShardRule::column);
    add_product(table, layer + "mlp.up_proj", c.intermediate, c.hidden, false, ShardRule::column);
    add_product(table, layer + "mlp.down_proj", c.hidden, c.intermediate, false, ShardRule::row);
  }
  table.push_back({prefix + "norm.weight", {c.hidden}, ShardRule::whole});
  // Tied: the head is the embedding again; some files repeat it.
  table.push_back(
      {model.head, {c.vocabulary, c.hidden}, c.tied ? ShardRule::unused : ShardRule::vocabulary, true});
  return table;
}

Table vision_parameters(const ModelConfig& model) {
  Table table;
  if (!model.vision) return table;
  const VisionConfig& c = *model.vision;
  const std::string& prefix = model.prefix_vision;
  const std::string embeddings = prefix + "embeddings.";
  const int64_t grid = c.image / c.patch;
  const bool clip = c.kind == VisionConfig::Kind::clip;
  if (clip) table.push_back({embeddings + "class_embedding", {c.hidden}, ShardRule::whole});
  table.push_back({embeddings + "patch_embedding.weight", {c.hidden, 3, c.patch, c.patch}, ShardRule::whole});
  if (!clip) table.push_back({embeddings + "patch_embedding.bias", {c.hidden}, ShardRule::whole});
  table.push_back(
      {embeddings + "position_embedding.weight", {grid * grid + (clip ? 1 : 0), c.hidden}, ShardRule::whole});
  if (clip) add_norm(table, prefix + "pre_layrnorm", c.hidden);
  for (int i = 0; i < c.total_layers; ++i) {
    const std::string layer = prefix + "encoder.layers." + std::to_string(i) + ".";
    const ShardRule rule = i < c.layers ? ShardRule::whole : ShardRule::unused;
    add_norm(table, layer + "layer_norm1", c.hidden, rule);
    for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      add_linear(table, layer + "self_attn." + name, c.hidden, c.hidden, true, rule);
    }
    add_norm(table, layer + "layer_norm2", c.hidden, rule);
    add_linear(table, layer + "mlp.fc1", c.intermediate, c.hidden, true, rule);
    add_linear(table, layer + "mlp.fc2", c.hidden, c.intermediate, true, rule);
  }
  add_norm(table, prefix + "post_layernorm", c.hidden, c.post_norm ? ShardRule::whole : ShardRule::unused);
  return table;
}

Table resampler_parameters(const ModelConfig& model) {
  Table table;
  if (!model.vision) return table;
  const ResamplerConfig& c = model.resampler;
  const std::string& prefix = model.prefix_resampler;
  const int64_t in = model.vision->hidden;
  const int64_t out = model.language.hidden;
  if (c.kind == ResamplerKind::mlp) {
    add_linear(table, prefix + (c.stored_in_sequence ? "0" : "linear_1"), out, in, true, ShardRule::whole);
    add_linear(table, prefix + (c.stored_in_sequence ? "2" : "linear_2"), out, out, true, ShardRule::whole);
    return table;
  }
  if (c.kind == ResamplerKind::pixel_shuffle) {
    add_linear(table, prefix + "proj", out, in * c.shuffle * c.shuffle, false, ShardRule::whole);
    return table;
  }
  const int64_t width = c.width;
  table.push_back({prefix + "query", {c.queries, width}, ShardRule::whole});
  if (!c.sincos_keys) table.push_back({prefix + "pos_embed", {c.queries, width}, ShardRule::whole});
  table.push_back({prefix + "kv_proj.weight", {width, in}, ShardRule::whole});
  table.push_back({prefix + "attn.in_proj_weight", {3 * width, width}, ShardRule::whole});
  table.push_back({prefix + "attn.in_proj_bias", {3 * width}, ShardRule::whole});
  add_linear(table, prefix + "attn.out_proj", width, width, true, ShardRule::whole);
  for (const char* name : {"ln_q", "ln_kv", "ln_post"}) add_norm(table, prefix + name, width);
  table.push_back({prefix + "proj", {width, out}, ShardRule::whole});
  return table;
}

std::vector<std::string> problems_of(const ModelConfig& model, const Checkpoint& checkpoint,
                                     const Checkpoint* tower) {
  std::vector<std::string> problems;
  const Expected expected = expected_of(model, tower != nullptr);
  check_file(expected.own, checkpoint, model, problems);
  if (tower != nullptr) {
    std::vector<std::string> of_tower;
    check_file(expected.tower, *tower, model, of_tower);
    for (const std::string& problem : of_tower) problems.push_back("vision tower: " + problem);
  }
  return problems;
}

std::vector<std::string> unused_tensors(const ModelConfig& model, const Checkpoint& checkpoint,
                                        const Checkpoint* tower) {
  const Expected expected = expected_of(model, tower != nullptr);
  std::vector<std::string> unused = others_in(expected.own, checkpoint);
  if (tower != nullptr) {
    for (const std::string& name : others_in(expected.tower, *tower)) {
      if (!is_outside_tower(name)) unused.push_back(name);
    }
  }
  std::erase_if(unused, [&](const std::string& name) {
    return is_left_aside(model, name) ||
           ends_with_any(
               name, {"rotary_emb.inv_freq", "embeddings.position_ids"});  // so common that nobody is told
  });
  return unused;
}

namespace {

// Names, once, the published parts that are not served.
void log_left_aside(const ModelConfig& model, const Checkpoint& checkpoint) {
  size_t tensors = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) tensors += is_left_aside(model, name) ? 1 : 0;
  if (tensors == 0) return;
  std::string prefixes;
  for (const std::string& prefix : model.left_aside) prefixes += (prefixes.empty() ? "" : " ") + prefix;
  log_info("audio and speech are not served: their tensors are left aside", "prefixes", prefixes, "tensors",
           tensors);
}

}  // namespace

void require_complete(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint* tower) {
  const auto problems = problems_of(model, checkpoint, tower);
  if (problems.empty()) {
    log_left_aside(model, checkpoint);
    const auto unused = unused_tensors(model, checkpoint, tower);
    if (unused.empty()) return;
    return log_warning("tensors that this model does not use are left aside", "tensors", unused.size(),
                       "first", unused.front());
  }
  throw Error(message(model.directory.string(), ": ", problems.front(),
                      problems.size() > 1 ? message(" (and ", problems.size() - 1, " more problems)") : ""));
}

WeightFormat head_format(WeightFormat layers) {
  return layers == WeightFormat::int4 ? WeightFormat::int8 : layers;
}

namespace {

// A Held is the part of a parameter that one rank holds: as many rows and columns.
struct Held {
  int64_t rows = 0;
  int64_t columns = 1;
};

Held held_of(const Parameter& p, const LanguageConfig& language, const LanguageShard& shard) {
  Held held{p.shape.rank() > 0 ? p.shape[0] : 1, 1};
  for (int i = 1; i < p.shape.rank(); ++i) held.columns *= p.shape[i];
  switch (p.rule) {
    case ShardRule::unused:
      return {0, 0};
    case ShardRule::whole:
      break;
    case ShardRule::column:
      held.rows /= shard.size;
      break;
    case ShardRule::row:
      held.columns /= shard.size;
      break;
    case ShardRule::kv_heads:
      held.rows = held.rows / language.kv_heads * shard.kv_heads;
      break;
    case ShardRule::vocabulary:
      held.rows = shard.ids;
      break;
  }
  return held;
}

}  // namespace

size_t weight_bytes(const Table& parameters, const LanguageConfig& language, int ranks, WeightFormat format) {
  const LanguageShard shard = shard_of(language, 0, ranks);
  const WeightFormat plain = is_quantized(format) ? WeightFormat::bf16 : format;
  size_t bytes = 0;
  for (const Parameter& p : parameters) {
    const Held held = held_of(p, language, shard);
    const bool head = p.product && (p.rule == ShardRule::vocabulary);
    const WeightFormat own = p.shape.rank() < 2 ? WeightFormat::f32
                             : head             ? head_format(format)
                             : p.product        ? format
                                                : plain;
    bytes += bytes_of(own, held.rows, held.columns);
    // Tied: the rows of the table once more, packed as the head.
    if (language.tied && p.rule == ShardRule::vocabulary)
      bytes += bytes_of(head_format(format), held.rows, held.columns);
  }
  return bytes;
}

}  // namespace uhd
