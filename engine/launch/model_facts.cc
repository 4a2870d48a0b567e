#include "engine/launch/model_facts.h"

#include <algorithm>

#include "base/archive.h"
#include "base/hash.h"
#include "kernels/cpu/isa.h"

namespace uhd {
namespace {

std::string digest_of(const std::vector<std::byte>& bytes) { return fingerprint({bytes}).hex(); }

// Names, types, shapes and some bytes of every tensor, from places all over it: reading all of a large
// checkpoint would take too long, and this is about honest mistakes.
std::string digest_of(const Checkpoint& checkpoint) {
  constexpr size_t kPlaces = 8;
  constexpr size_t kBytesOfPlace = 64;
  std::vector<std::byte> text;
  Writer write(text);
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    write(name, tensor.dtype());
    for (int i = 0; i < tensor.rank(); ++i) write(tensor.dim(i));
    const auto* data = static_cast<const std::byte*>(tensor.raw());
    for (size_t place = 0; place < kPlaces; ++place) {
      const size_t at = tensor.bytes() / kPlaces * place;
      text.insert(text.end(), data + at, data + std::min(at + kBytesOfPlace, tensor.bytes()));
    }
  }
  return digest_of(text);
}

std::string digest_of(const LanguageConfig& c) {
  std::vector<std::byte> text;
  const RopeScaling& r = c.rope;
  Writer write(text);
  write(c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim, c.intermediate, c.vocabulary, c.context,
        c.norm_eps, c.rope_theta, c.qkv_bias, c.head_norms, c.tied, r.kind, r.factor, r.low_freq_factor,
        r.high_freq_factor, r.original_context, r.beta_fast, r.beta_slow, r.attention_factor, r.truncate);
  for (const auto* factors : {&r.short_factors, &r.long_factors}) {
    for (const double factor : *factors) write(factor);
  }
  return digest_of(text);
}

std::string digest_of(const VisionConfig& v, const ResamplerConfig& p, const SlicingConfig& s) {
  std::vector<std::byte> text;
  Writer write(text);
  write(v.layers, v.hidden, v.heads, v.intermediate, v.patch, v.image, v.norm_eps, v.activation, v.kind,
        v.post_norm, v.bucket_positions, v.equal_fractions);
  for (size_t i = 0; i < v.mean.size(); ++i) write(v.mean[i], v.deviation[i]);
  write(p.kind, p.queries, p.width, p.heads, p.shuffle, p.sincos_keys, p.norm_eps);
  write(s.kind, s.scale, s.patch, s.rounding);
  return digest_of(text);
}

std::string word(bool yes) { return yes ? "true" : "false"; }

}  // namespace

Facts encoder_facts(const ModelFiles& files, const EngineOptions& options) {
  const ModelConfig& config = files.config;
  Facts facts{{"model.path (its tensors)", digest_of(files.checkpoint)},
              {"model.path (its language config)", digest_of(config.language)},
              {"model.dtype", std::string(name_of(files.format))}};
  if (!config.vision) return facts;
  if (files.tower) facts.push_back({"model.vision_tower (its tensors)", digest_of(*files.tower)});
  facts.push_back(
      {"model.path (its vision config)", digest_of(*config.vision, config.resampler, config.slicing)});
  facts.push_back({"model.vision_dtype", std::string(name_of(files.vision))});
  facts.push_back({"image.max_slices", message(config.slicing.max_slices)});
  facts.push_back({"image.prescale_longest", message(config.slicing.prescale_longest)});
  facts.push_back({"image.max_piece_patches", message(options.image.limits.max_piece_patches)});
  facts.push_back({"image.reference_compat", word(options.image.reference_compat)});
  return facts;
}

Facts llm_facts(const ModelFiles& files, const EngineOptions& options, const Backend& backend) {
  Facts facts = encoder_facts(files, options);
  const auto add = [&](const char* name, std::string value) { facts.push_back({name, std::move(value)}); };
  add("model.quantize", options.quantize);
  add("model.quantize_activations", word(options.backend.quantize_activations));
  add("backend.kind", backend.host_memory() ? "cpu" : "cuda");
  if (backend.host_memory()) add("backend.isa", cpu::choose_table(options.backend.isa).name);
  add("backend.attention", options.backend.attention);
  add("backend.graphs", word(options.backend.graphs));
  add("engine.max_running", message(options.max_running));
  add("engine.token_budget", message(options.token_budget));
  add("engine.page_size", message(options.page_size));
  add("engine.context_length", message(options.context_length));
  add("engine.visual_cache_bytes", message(options.visual_cache_bytes));
  add("engine.overlap", word(options.overlap));
  add("engine.deterministic", word(options.deterministic));
  return facts;
}

}  // namespace uhd
