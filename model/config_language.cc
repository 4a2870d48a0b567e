#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "model/config_parts.h"

namespace uhd {
namespace {

// The published config classes assume these if a file is silent.
struct Defaults {
  int intermediate;
  int kv_heads;  // 0: as many as heads
  int vocabulary;
  int context;
  double norm_eps;
};

Defaults defaults_of(const std::string& model_type) {
  if (model_type == "mistral") return {14336, 8, 32000, 131072, 1e-6};
  if (model_type == "qwen2" || model_type == "qwen3") return {22016, 0, 151936, 32768, 1e-6};
  return {11008, 0, 32000, 2048, 1e-6};
}

constexpr double kHuge = 1e12;

// LongRoPE (arXiv 2402.13753): every frequency has a factor of its own, one for short contexts, one for long.
RopeScaling read_longrope(const ConfigObject& json, const ConfigObject& outer, int head_dim, int context) {
  RopeScaling rope{.kind = RopeScaling::Kind::longrope};
  const char* original = "original_max_position_embeddings";
  rope.original_context = json.integer(original, 2, 1 << 24, outer.integer(original, 2, 1 << 24, context));
  rope.factor = json.number("factor", 1, 1e6, std::max(1.0, double{1} * context / rope.original_context));
  rope.attention_factor = json.number("attention_factor", 0, 1e3, 0);
  for (const char* key : {"short_mscale", "long_mscale"}) {
    require(!json.has(key), json.at(key), " is not supported");
  }
  const auto factors = [&](const char* key) {
    auto values = json.numbers(key, static_cast<size_t>(head_dim / 2), 1e-3, 1e6);
    require(!values.empty(), json.at(key), " is missing");
    return values;
  };
  rope.short_factors = factors("short_factor");
  rope.long_factors = factors("long_factor");
  return rope;
}

RopeScaling read_rope_scaling(const ConfigObject& json, const ConfigObject& outer, int head_dim,
                              int& context) {
  RopeScaling rope;
  const std::string kind = json.text("rope_type", json.text("type", "default"));
  if (kind == "default") return rope;
  if (kind == "longrope") return read_longrope(json, outer, head_dim, context);
  rope.factor = json.number("factor", 1, 1e6, 1);
  rope.original_context = json.integer("original_max_position_embeddings", 1, 1 << 24, context);
  const double stretched = static_cast<double>(context) * rope.factor;
  if (kind == "linear" || kind == "dynamic") {
    rope.kind = kind == "linear" ? RopeScaling::Kind::linear : RopeScaling::Kind::dynamic;
    rope.original_context = context;
    context = static_cast<int>(std::min(stretched, double{1 << 24}));
  } else if (kind == "llama3") {
    rope.kind = RopeScaling::Kind::llama3;
    rope.low_freq_factor = json.number("low_freq_factor", 1e-6, 1e6, 1);
    rope.high_freq_factor = json.number("high_freq_factor", 1e-6, 1e6, 4);
    require(rope.high_freq_factor > rope.low_freq_factor, json.at("high_freq_factor"),
            " must be above low_freq_factor");
  } else if (kind == "yarn") {
    rope.kind = RopeScaling::Kind::yarn;
    rope.beta_fast = json.number("beta_fast", 1e-6, 1e6, 32);
    rope.beta_slow = json.number("beta_slow", 1e-6, 1e6, 1);
    rope.attention_factor = json.number("attention_factor", 0, 1e3, 0);
    rope.truncate = json.flag("truncate", true);
    const double reach = rope.original_context * rope.factor;
    context = std::max(context, static_cast<int>(std::min(reach, double{1 << 24})));
  } else {
    throw Error(message(json.where(), ": rope type '", kind,
                        "' is not one of default, linear, dynamic, llama3, yarn, longrope"));
  }
  return rope;
}

}  // namespace

LanguageConfig read_language_config(const ConfigObject& json, const std::string& model_type) {
  const bool qwen2 = model_type == "qwen2", qwen3 = model_type == "qwen3";
  require(model_type == "llama" || model_type == "mistral" || qwen2 || qwen3, json.where(),
          ": language model type '", model_type, "' is not one of llama, mistral, qwen2, qwen3");
  const Defaults defaults = defaults_of(model_type);
  LanguageConfig c;
  c.layers = json.integer("num_hidden_layers", 1, 1024, 32);
  c.hidden = json.integer("hidden_size", 2, 1 << 16, 4096);
  c.heads = json.integer("num_attention_heads", 1, 1024, 32);
  c.kv_heads =
      json.integer("num_key_value_heads", 1, c.heads, defaults.kv_heads ? defaults.kv_heads : c.heads);
  require(c.heads % c.kv_heads == 0, json.at("num_key_value_heads"), " of ", c.kv_heads,
          " does not divide num_attention_heads of ", c.heads);
  require(qwen3 || json.has("head_dim") || c.hidden % c.heads == 0, json.at("hidden_size"), " of ", c.hidden,
          " is not divided by num_attention_heads of ", c.heads);
  c.head_dim = json.integer("head_dim", 2, 1024, qwen3 ? 128 : c.hidden / c.heads);
  require(c.head_dim % 2 == 0, json.where(), ": the head size of ", c.head_dim, " is odd");
  c.intermediate = json.integer("intermediate_size", 1, 1 << 20, defaults.intermediate);
  c.vocabulary = json.integer("vocab_size", 1, 1 << 22, defaults.vocabulary);
  c.context = json.integer("max_position_embeddings", 1, 1 << 24, defaults.context);
  c.norm_eps = static_cast<float>(json.number("rms_norm_eps", 0, 1, defaults.norm_eps));
  c.tied = json.flag("tie_word_embeddings", false);
  c.qkv_bias = qwen2;
  c.head_norms = qwen3;

  const std::string activation = json.text("hidden_act", "silu");
  require(activation == "silu", json.at("hidden_act"), " is '", activation, "', not silu");
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    require(qwen2 || !json.flag(key, false), json.at(key), " is not supported for ", model_type);
  }

  // MiniCPM's own language models scale embeddings, layers and logits by these.
  for (const char* key : {"scale_emb", "scale_depth", "dim_model_base"}) {
    require(!json.has(key), json.at(key),
            " is not supported: if the scale is in the weights already, as in MiniCPM-V's, remove the key");
  }

  // transformers 5 keeps theta and scaling together under rope_parameters.
  const ConfigObject joined = json.object("rope_parameters");
  c.rope_theta = joined.number("rope_theta", 1, kHuge, json.number("rope_theta", 1, kHuge, 10000));
  c.rope =
      read_rope_scaling(joined.empty() ? json.object("rope_scaling") : joined, json, c.head_dim, c.context);

  // Attention to a window of the last positions equals full attention up to the window's length.
  const bool windowed = qwen2 || qwen3 ? json.flag("use_sliding_window", false) : model_type == "mistral";
  if (windowed && json.has("sliding_window")) {
    c.context = std::min(c.context, json.integer("sliding_window", 1, 1 << 24));
  }
  return c;
}

SamplingRule read_sampling_defaults(const ConfigObject& json) {
  SamplingRule rule;
  // A server can do without a recommendation, so one that is wrong does not keep it from starting.
  const auto read = [&](const char* key, double low, double high, auto& to) {
    try {
      to = static_cast<std::remove_reference_t<decltype(to)>>(json.number(key, low, high, to));
    } catch (const Error& e) {
      log_warning("a recommendation for sampling is left out", "reason", e.what());
    }
  };
  read("temperature", 0, 2, rule.temperature);
  read("top_p", 1e-6, 1, rule.top_p);
  read("min_p", 0, 1, rule.min_p);
  read("repetition_penalty", 0.01, 100, rule.repetition_penalty);
  read("top_k", 0, 1 << 30, rule.top_k);
  return rule;
}

void add_end_token(LanguageConfig& language, int32_t id) {
  std::vector<int32_t>& ids = language.eos_ids;
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

void read_token_ids(const ConfigObject& generation, const ConfigObject& outer, const ConfigObject& inner,
                    LanguageConfig& language) {
  const auto first = [&](const char* key) {
    for (const ConfigObject* json : {&generation, &outer, &inner}) {
      auto ids = json->ids(key, language.vocabulary);
      if (!ids.empty()) return ids;
    }
    return std::vector<int32_t>{};
  };
  for (const ConfigObject* json : {&generation, &outer, &inner}) {
    for (const int32_t id : json->ids("eos_token_id", language.vocabulary)) add_end_token(language, id);
  }
  const auto bos = first("bos_token_id");
  language.bos_id = bos.empty() ? -1 : bos.front();
  // Some publish -1 or an id beyond the vocabulary for padding, which is never fed to the model: not an
  // error.
  for (const ConfigObject* json : {&generation, &outer, &inner}) {
    const auto pad = json->has("pad_token_id") && json->values().at("pad_token_id").is_int64()
                         ? json->values().at("pad_token_id").get_int64()
                         : -1;
    if (language.pad_id < 0 && pad >= 0 && pad < language.vocabulary)
      language.pad_id = static_cast<int32_t>(pad);
  }
}

}  // namespace uhd
