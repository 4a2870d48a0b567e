#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/config_files.h"
#include "model/config_parts.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

int whole_root(int n) {
  const int root = static_cast<int>(std::lround(std::sqrt(n)));
  return root * root == n ? root : 0;
}

void read_resampler(const ConfigObject& json, int default_queries, ModelConfig& model) {
  ResamplerConfig& p = model.resampler;
  p.queries = json.integer("mm_num_queries", 1, 4096, default_queries);
  require(whole_root(p.queries) > 0, json.at("mm_num_queries"), " of ", p.queries, " is not a square number");
  p.width = json.integer("mm_resampler_width", 4, 1 << 16, model.language.hidden);
  p.heads = json.integer("mm_resampler_heads", 1, 1024, std::max(1, p.width / 128));
  require(p.width % p.heads == 0 && p.width % 4 == 0, json.at("mm_resampler_width"), " of ", p.width,
          " must be divided by its ", p.heads, " heads and by 4");
}

void read_uhd_slicing(const ConfigObject& json, ModelConfig& model) {
  SlicingConfig& s = model.slicing;
  s.kind = SlicingConfig::Kind::adaptive;
  s.scale = model.vision->image;
  s.patch = model.vision->patch;
  s.max_slices = json.integer("mm_max_slices", 1, 64, 7);
  s.prescale_longest = json.integer("mm_prescale_longest", 0, 8192, 0);
  // The release hard-codes the comma and the newline byte of Llama's vocabulary.
  const ConfigObject separators = json.object("slice_separator_ids");
  const int64_t last = model.language.vocabulary - 1;
  require(!separators.empty() || last >= 29892, json.at("slice_separator_ids"),
          " is missing, and the vocabulary of ", last + 1, " does not hold Llama's comma, 29892");
  model.layout.column_separator = {separators.integer("comma", 0, last, 29892)};
  model.layout.row_separator = {separators.integer("newline", 0, last, 13)};
}

void read_square_slicing(const ConfigObject& json, bool padded_by_default, ModelConfig& model) {
  SlicingConfig& s = model.slicing;
  const std::string aspect = json.text("image_aspect_ratio", padded_by_default ? "pad" : "square");
  require(aspect == "pad" || aspect == "square", json.at("image_aspect_ratio"), " is '", aspect,
          "', neither pad nor square");
  s.kind = aspect == "pad" ? SlicingConfig::Kind::pad_square : SlicingConfig::Kind::centre_crop;
  s.scale = model.vision->image;
  s.patch = model.vision->patch;
  require(s.scale % s.patch == 0, json.where(), ": the tower's image size ", s.scale,
          " is not a multiple of its patch size ", s.patch);
  s.max_slices = 1;
}

// Reads LLaVA's own layout: the language model at the top, the projector under model.mm_projector, the tower
// inside or beside.
void read_llava(const ConfigObject& json, const fs::path& tower_path, const TensorNames& names,
                ModelConfig& model) {
  const std::string type = json.text("model_type", "llava");
  const std::string architecture = json.first_text("architectures");
  model.language = read_language_config(json, architecture.find("Mistral") != std::string::npos ? "mistral"
                                              : architecture.find("Qwen2") != std::string::npos ? "qwen2"
                                                                                                : "llama");
  model.prefix_resampler = "model.mm_projector.";
  const int select = json.integer("mm_vision_select_layer", -1024, 1024, -2);
  const std::string feature = json.text("mm_vision_select_feature", "patch");
  require(feature == "patch", json.at("mm_vision_select_feature"), " is '", feature, "', not patch");

  constexpr const char* kInside = "model.vision_tower.vision_tower.vision_model.";
  const bool inside =
      names.known() ? names.any_starts_with(kInside) : json.flag("unfreeze_mm_vision_tower", false);
  const std::string tower = json.text("mm_vision_tower", json.text("vision_tower", ""));
  const fs::path folder = find_vision_tower(model.directory, tower, tower_path);
  ConfigObject vision = json.object("vision_config");
  if (vision.empty() && !folder.empty()) {
    const ConfigObject whole = ConfigObject::read_required(folder / "config.json");
    vision = whole.has("vision_config") ? whole.object("vision_config") : whole;
  }
  if (vision.empty()) vision = known_vision_tower(tower);
  require(inside || !folder.empty(), json.at("mm_vision_tower"), " is '", tower,
          "', and no such folder is in ", model.directory.string(),
          " or beside it: put the tower there, or set model.vision_tower");
  require(!vision.empty(), json.at("mm_vision_tower"), " is '", tower, "': its config.json was not found in ",
          model.directory.string(), " or beside it");
  model.vision = read_vision_config(vision, select);
  const std::string dtype = json.text("mm_vision_dtype", "");
  require(dtype.empty() || dtype == "float32" || dtype == "bfloat16", json.at("mm_vision_dtype"), " is '",
          dtype, "', neither float32 nor bfloat16");
  model.vision->wants_f32 = dtype == "float32";
  if (!folder.empty())
    read_normalisation(ConfigObject::read(folder / "preprocessor_config.json"), *model.vision);
  read_normalisation(ConfigObject::read(model.directory / "preprocessor_config.json"), *model.vision);
  model.prefix_vision = inside ? kInside : "vision_model.";
  model.vision_directory = inside ? model.directory : folder;
  require(json.integer("mm_hidden_size", 1, 1 << 16, model.vision->hidden) == model.vision->hidden,
          json.at("mm_hidden_size"), " differs from the tower's hidden size of ", model.vision->hidden);

  const std::string compression = json.text("mm_projector_type", "");
  if (compression == "mlp2x_gelu") {
    model.family = Family::llava_15;
    model.resampler.kind = ResamplerKind::mlp;
    model.resampler.stored_in_sequence = true;
    read_square_slicing(json, false, model);
  } else if (compression == "adapt_spatial_resampler" || compression == "perceiver_resampler") {
    model.family = Family::llava_uhd_v1;
    const bool spatial = compression == "adapt_spatial_resampler";
    model.resampler.kind = spatial ? ResamplerKind::spatial : ResamplerKind::perceiver;
    read_resampler(json, spatial ? 144 : 64, model);
    read_uhd_slicing(json, model);
  } else {
    throw Error(message(json.at("mm_projector_type"), " is '", compression,
                        "', not one of mlp2x_gelu, adapt_spatial_resampler, perceiver_resampler"));
  }
}

// LlavaForConditionalGeneration: everything inside, nested configs.
void read_llava_hf(const ConfigObject& json, const TensorNames& names, ModelConfig& model) {
  const ConfigObject text = json.object("text_config");
  model.family = Family::llava_15;
  model.language = read_language_config(text, text.text("model_type", "llama"));
  model.language.tied = text.flag("tie_word_embeddings", json.flag("tie_word_embeddings", false));
  const std::string strategy = json.text("vision_feature_select_strategy", "default");
  require(strategy == "default", json.at("vision_feature_select_strategy"), " is '", strategy,
          "', not default");
  const std::string activation = json.text("projector_hidden_act", "gelu");
  require(activation == "gelu", json.at("projector_hidden_act"), " is '", activation, "', not gelu");
  model.vision =
      read_vision_config(json.object("vision_config"), json.integer("vision_feature_layer", -1024, 1024, -2));
  const ConfigObject preprocessor = ConfigObject::read(model.directory / "preprocessor_config.json");
  read_normalisation(preprocessor, *model.vision);
  model.resampler.kind = ResamplerKind::mlp;
  // The model was trained on padded squares; only a processor that says it does not pad is believed.
  read_square_slicing(json, preprocessor.flag("do_pad", true), model);
  const bool nested = names.any_starts_with("model.language_model.");
  model.prefix_language = nested ? "model.language_model." : "language_model.model.";
  model.head = nested ? "lm_head.weight" : "language_model.lm_head.weight";
  model.prefix_vision = nested ? "model.vision_tower.vision_model." : "vision_tower.vision_model.";
  model.prefix_resampler = nested ? "model.multi_modal_projector." : "multi_modal_projector.";
  model.vision_directory = model.directory;
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

void read_minicpmv(const ConfigObject& json, ModelConfig& model) {
  require(std::abs(json.number("version", 0, 100, 2.6) - 2.6) < 1e-9, json.at("version"),
          " is not 2.6, the only MiniCPM-V that is supported");
  model.family = Family::minicpmv_26;
  model.language = read_language_config(json, "qwen2");
  model.prefix_language = "llm.model.";
  model.head = "llm.lm_head.weight";
  model.prefix_vision = "vpm.";
  model.prefix_resampler = "resampler.";
  model.vision_directory = model.directory;

  const ConfigObject vision = json.object("vision_config");
  model.vision = read_vision_config(vision, json.flag("drop_vision_last_layer", false) ? -2 : -1);
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

void read_text(const ConfigObject& json, ModelConfig& model) {
  const std::string architecture = json.first_text("architectures");
  const std::string type = json.text("model_type", "");
  require(
      architecture == "LlamaForCausalLM" || architecture == "MistralForCausalLM" ||
          architecture == "Qwen2ForCausalLM" || (architecture.empty() && !type.empty()),
      json.where(), ": architecture '", architecture, "' with model type '", type,
      "' is not one that this program runs (LLaVA-UHD v1, LLaVA-1.5, MiniCPM-V 2.6, Llama, Mistral, Qwen2)");
  model.family = Family::text;
  model.language = read_language_config(json, architecture.starts_with("Llama")     ? "llama"
                                              : architecture.starts_with("Mistral") ? "mistral"
                                              : architecture.starts_with("Qwen2")   ? "qwen2"
                                                                                    : type);
}

}  // namespace

std::string name_of(Family family) {
  switch (family) {
    case Family::llava_uhd_v1:
      return "llava-uhd-v1";
    case Family::llava_15:
      return "llava-1.5";
    case Family::minicpmv_26:
      return "minicpm-v-2.6";
    case Family::text:
      break;
  }
  return "text";
}

ModelConfig read_model_config(const fs::path& directory, const fs::path& vision_tower) {
  std::error_code error;
  require(fs::is_directory(directory, error), "there is no model directory ", directory.string());
  ModelConfig model;
  model.directory = directory;
  const fs::path whole = fs::absolute(directory, error).lexically_normal();
  model.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  if (error || model.name.empty()) model.name = "model";
  model.prefix_language = "model.";
  model.head = "lm_head.weight";

  const ConfigObject json = ConfigObject::read_required(directory / "config.json");
  const std::string architecture = json.first_text("architectures");
  const TensorNames names(directory);
  ConfigObject inner(json.where());
  if (architecture == "MiniCPMV" || json.text("model_type", "") == "minicpmv") {
    read_minicpmv(json, model);
  } else if (architecture == "LlavaForConditionalGeneration") {
    read_llava_hf(json, names, model);
    inner = json.object("text_config");
  } else if (json.has("mm_projector_type")) {
    read_llava(json, vision_tower, names, model);
  } else {
    read_text(json, model);
  }
  read_token_ids(ConfigObject::read(directory / "generation_config.json"), json, inner, model.language);
  if (model.vision) {
    const int grid = model.vision->image / model.vision->patch;
    require(grid >= 1 && grid <= 512, json.where(), ": the vision tower's position table of ", grid, "x",
            grid, " is beyond 512x512");
  }
  return model;
}

}  // namespace uhd
