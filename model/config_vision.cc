#include <cmath>

#include "base/error.h"
#include "model/config_parts.h"

namespace uhd {
namespace {

Activation activation_of(const ConfigObject& json, const std::string& fallback) {
  const std::string name = json.text("hidden_act", fallback);
  if (name == "quick_gelu") return Activation::quick_gelu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  throw Error(
      message(json.at("hidden_act"), " is '", name, "', not one of quick_gelu, gelu, gelu_pytorch_tanh"));
}

// Returns how many layers run so that hidden state `select` comes out.
int layers_up_to(const ConfigObject& json, int select, int total) {
  const int layers = select < 0 ? total + 1 + select : select;
  require(layers >= 0 && layers <= total, json.where(), ": the selected vision layer ", select,
          " is not among the ", total + 1, " hidden states");
  return layers;
}

}  // namespace

VisionConfig read_vision_config(const ConfigObject& json, int select_layer, const char* default_type) {
  const std::string type = json.text("model_type", default_type);
  const bool siglip =
      type.starts_with("siglip") || type.starts_with("smolvlm") || type.starts_with("idefics3");
  require(siglip || type.starts_with("clip"), json.at("model_type"), " is '", type,
          "', neither clip nor siglip");
  VisionConfig c;
  c.kind = siglip ? VisionConfig::Kind::siglip : VisionConfig::Kind::clip;
  c.total_layers = json.integer("num_hidden_layers", 1, 1024, 12);
  c.layers = layers_up_to(json, select_layer, c.total_layers);
  c.hidden = json.integer("hidden_size", 2, 1 << 15, 768);
  c.heads = json.integer("num_attention_heads", 1, 1024, 12);
  require(c.hidden % c.heads == 0, json.at("hidden_size"), " of ", c.hidden, " is not divided by ", c.heads,
          " heads");
  c.intermediate = json.integer("intermediate_size", 1, 1 << 18, 3072);
  c.patch = json.integer("patch_size", 1, 128, siglip ? 16 : 32);
  c.image = json.integer("image_size", c.patch, 8192, 224);
  c.norm_eps = static_cast<float>(json.number("layer_norm_eps", 0, 1, siglip ? 1e-6 : 1e-5));
  c.activation = activation_of(json, siglip ? "gelu_pytorch_tanh" : "quick_gelu");
  if (siglip) {
    c.mean = {0.5f, 0.5f, 0.5f};
    c.deviation = {0.5f, 0.5f, 0.5f};
  } else {
    c.mean = {0.48145466f, 0.4578275f, 0.40821073f};
    c.deviation = {0.26862954f, 0.26130258f, 0.27577711f};
  }
  return c;
}

void read_normalisation(const ConfigObject& preprocessor, VisionConfig& vision) {
  const auto take = [&](const char* key, const char* other, double low, double high,
                        std::array<float, 3>& to) {
    auto values = preprocessor.numbers(key, 3, low, high);
    if (values.empty()) values = preprocessor.numbers(other, 3, low, high);
    for (size_t i = 0; i < values.size(); ++i) to[i] = static_cast<float>(values[i]);
  };
  take("image_mean", "norm_mean", -10, 10, vision.mean);
  take("image_std", "norm_std", 1e-4, 100, vision.deviation);
  for (const char* key : {"do_rescale", "do_normalize"}) {
    require(preprocessor.flag(key, true), preprocessor.at(key),
            " is false: pixels are always scaled and normalized");
  }
  const double scale = preprocessor.number("rescale_factor", 0, 1, 1.0 / 255);
  require(std::abs(scale * 255 - 1) < 1e-3, preprocessor.at("rescale_factor"), " is ", scale, ", not 1/255");
}

ConfigObject known_vision_tower(const std::string& name) {
  const std::string base = name.substr(name.find_last_of('/') + 1);
  if (base != "clip-vit-large-patch14-336" && base != "clip-vit-large-patch14") return ConfigObject(name);
  return {name, boost::json::object{{"model_type", "clip_vision_model"},
                                    {"hidden_size", 1024},
                                    {"intermediate_size", 4096},
                                    {"num_hidden_layers", 24},
                                    {"num_attention_heads", 16},
                                    {"patch_size", 14},
                                    {"image_size", base.ends_with("336") ? 336 : 224}}};
}

}  // namespace uhd
