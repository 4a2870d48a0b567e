#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/config_files.h"
#include "model/config_parts.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSupported =
    "LLaVA-UHD v1, LLaVA-1.5 (original layout and LlavaForConditionalGeneration), MiniCPM-V 2.6, 4.0 and 4.5 "
    "(MiniCPMV), MiniCPM-o 2.6 and 4.5 (MiniCPMO), SmolVLM and Idefics3, LlamaForCausalLM, "
    "MistralForCausalLM, Qwen2ForCausalLM, "
    "Qwen3ForCausalLM";

// Returns the language model that an architecture names at its beginning, as in "Qwen3ForCausalLM", or after
// LLaVA's name, as in "LlavaQwen2ForCausalLM"; "" if it names none.
std::string language_type_in(std::string_view architecture) {
  if (architecture.starts_with("Llava")) architecture.remove_prefix(std::string_view("Llava").size());
  for (const auto& [name, type] : {std::pair("Llama", "llama"), std::pair("Mistral", "mistral"),
                                   std::pair("Qwen2", "qwen2"), std::pair("Qwen3", "qwen3")}) {
    if (architecture == std::string(name) + "ForCausalLM") return type;
  }
  return "";
}

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
  const std::string language = language_type_in(architecture);
  model.language = read_language_config(json, language.empty() ? "llama" : language);
  model.prefix_resampler = "model.mm_projector.";
  const int select = json.integer("mm_vision_select_layer", -1024, 1024, -2);
  const std::string feature = json.text("mm_vision_select_feature", "patch");
  require(feature == "patch", json.at("mm_vision_select_feature"), " is '", feature, "', not patch");
  require(!json.flag("mm_use_im_start_end", false), json.at("mm_use_im_start_end"),
          " is true: marks around an image are not supported");

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

void read_text(const ConfigObject& json, ModelConfig& model) {
  const std::string architecture = json.first_text("architectures");
  const std::string type = json.text("model_type", "");
  const std::string named = language_type_in(architecture);
  const bool plain = !named.empty() && architecture.ends_with("ForCausalLM");
  require(plain || (architecture.empty() && !type.empty()), json.where(), ": architecture '", architecture,
          "' with model type '", type, "' is not one that this program runs: ", kSupported);
  model.family = Family::text;
  model.language = read_language_config(json, plain ? named : type);
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
    case Family::minicpmv_40:
      return "minicpm-v-4.0";
    case Family::minicpmv_45:
      return "minicpm-v-4.5";
    case Family::minicpmo_26:
      return "minicpm-o-2.6";
    case Family::minicpmo_45:
      return "minicpm-o-4.5";
    case Family::smolvlm:
      return "smolvlm";
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
  require(!json.has("quantization_config"), json.at("quantization_config"),
          " says that the weights are codes already, which is not supported: take the checkpoint in bf16, "
          "and let "
          "model.quantize make codes of it");
  ConfigObject inner(json.where());
  if (is_minicpmv(json)) {
    read_minicpmv(json, model);
  } else if (is_smolvlm(json)) {
    read_smolvlm(json, model);
    inner = json.object("text_config");
  } else if (architecture == "LlavaForConditionalGeneration") {
    read_llava_hf(json, names, model);
    inner = json.object("text_config");
  } else if (json.has("mm_projector_type")) {
    read_llava(json, vision_tower, names, model);
  } else {
    read_text(json, model);
  }
  const ConfigObject generation = ConfigObject::read(directory / "generation_config.json");
  read_token_ids(generation, json, inner, model.language);
  model.sampling = read_sampling_defaults(generation);
  if (model.vision) {
    const int grid = model.vision->image / model.vision->patch;
    require(grid >= 1 && grid <= 512, json.where(), ": the vision tower's position table of ", grid, "x",
            grid, " is beyond 512x512");
  }
  return model;
}

}  // namespace uhd
