// Reads MiniCPM-V 2.6, 4.0 and 4.5 and MiniCPM-o 2.6 and 4.5. They differ in the language model alone:
// slices, tower, resampler and layout are those of 2.6. MiniCPM-o's audio and speech are not served, and
// neither is the part of 4.5's resampler that only videos need.
#include <algorithm>

#include "base/error.h"
#include "model/config_files.h"
#include "model/config_parts.h"

namespace uhd {
namespace {

struct Member {
  bool omni;
  const char* version;
  const char* language;
  Family family;
};
constexpr Member kMembers[] = {
    {false, "2.6", "qwen2", Family::minicpmv_26}, {false, "4.0", "llama", Family::minicpmv_40},
    {false, "4.5", "qwen3", Family::minicpmv_45}, {true, "2.6", "qwen2", Family::minicpmo_26},
    {true, "4.5", "qwen3", Family::minicpmo_45},
};

bool is_omni(const ConfigObject& json) {
  return json.first_text("architectures") == "MiniCPMO" || json.text("model_type", "") == "minicpmo";
}

// Files without a version are those of 2.6, which was published before there were others.
const Member& member_of(const ConfigObject& json) {
  const bool omni = is_omni(json);
  const std::string version = json.version("version", "2.6");
  const auto* found = std::find_if(std::begin(kMembers), std::end(kMembers),
                                   [&](const Member& m) { return m.omni == omni && m.version == version; });
  require(
      found != std::end(kMembers), json.at("version"), " is ", version, ", and of ",
      omni ? "MiniCPM-o only 2.6 and 4.5 are supported" : "MiniCPM-V only 2.6, 4.0 and 4.5 are supported");
  return *found;
}

// The published config class has this tower if the file names none.
ConfigObject vision_of(const ConfigObject& json) {
  if (json.has("vision_config")) return json.object("vision_config");
  return {json.at("vision_config"), boost::json::object{{"model_type", "siglip_vision_model"},
                                                        {"hidden_size", 1152},
                                                        {"intermediate_size", 4304},
                                                        {"num_hidden_layers", 27},
                                                        {"num_attention_heads", 16},
                                                        {"patch_size", 14},
                                                        {"image_size", 980}}};
}

void read_minicpmv_layout(const ConfigObject& preprocessor, ModelConfig& model) {
  const SpecialTokens tokens(model.directory, model.language.vocabulary);
  const auto id = [&](const char* key, const char* fallback) {
    return std::vector<int32_t>{tokens.id_of(preprocessor.text(key, fallback))};
  };
  ImageLayout& l = model.layout;
  l.overview_first = true;
  l.separator_after_last_row = false;
  l.row_separator = {tokens.newline()};
  l.before_overview = id("im_start", "<image>");
  l.after_overview = id("im_end", "</image>");
  l.before_slice = id("slice_start", "<slice>");
  l.after_slice = id("slice_end", "</slice>");
}

}  // namespace

bool is_minicpmv(const ConfigObject& json) {
  const std::string architecture = json.first_text("architectures");
  const std::string type = json.text("model_type", "");
  return architecture == "MiniCPMV" || architecture == "MiniCPMO" ||
         (architecture.empty() && (type == "minicpmv" || type == "minicpmo"));
}

void read_minicpmv(const ConfigObject& json, ModelConfig& model) {
  const Member& member = member_of(json);
  model.family = member.family;
  model.language = read_language_config(json, member.language);
  model.prefix_language = "llm.model.";
  model.head = "llm.lm_head.weight";
  model.prefix_vision = "vpm.";
  model.prefix_resampler = "resampler.";
  model.vision_directory = model.directory;
  if (member.omni) {
    model.left_aside = {"apm.", "audio_projection_layer.", "tts."};
    require(json.flag("init_vision", true), json.at("init_vision"),
            " is false: this program serves vision and text");
  }
  require(json.integer("insert_layer_id", -1, 1024, -1) == -1, json.at("insert_layer_id"),
          " asks for a merger inside the vision tower, which is not supported");

  // True is the default of the published config class; the published files say false.
  model.vision = read_vision_config(vision_of(json), json.flag("drop_vision_last_layer", true) ? -2 : -1,
                                    "siglip_vision_model");
  model.vision->post_norm = true;
  model.vision->bucket_positions = true;
  const ConfigObject preprocessor = ConfigObject::read(model.directory / "preprocessor_config.json");
  read_normalisation(preprocessor, *model.vision);

  ResamplerConfig& p = model.resampler;
  p.kind = ResamplerKind::perceiver;
  p.sincos_keys = true;
  p.queries = json.integer("query_num", 1, 4096, 64);
  p.width = model.language.hidden;
  p.heads = std::max(1, p.width / 128);
  require(p.width % p.heads == 0 && p.width % 4 == 0, json.at("hidden_size"), " of ", p.width,
          " cannot be divided among the resampler's ", p.heads, " heads");

  const ConfigObject slices = json.object("slice_config");
  SlicingConfig& s = model.slicing;
  s.kind = SlicingConfig::Kind::adaptive;
  s.rounding = SliceRounding::nearest_even;
  s.patch = model.vision->patch;
  s.scale = preprocessor.integer(
      "scale_resolution", s.patch, 8192,
      slices.integer("scale_resolution", s.patch, 8192, json.integer("image_size", s.patch, 8192, 448)));
  s.max_slices = preprocessor.integer("max_slice_nums", 1, 64, slices.integer("max_slice_nums", 1, 64, 9));
  if (!preprocessor.flag("slice_mode", json.flag("slice_mode", true))) s.max_slices = 1;
  read_minicpmv_layout(preprocessor, model);
  model.layout.image_ids = preprocessor.flag("use_image_id", json.flag("use_image_id", true));
}

}  // namespace uhd
