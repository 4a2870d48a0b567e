// Reads SmolVLM, SmolVLM2 and Idefics3: a Llama behind SigLIP, with square tiles of the enlarged picture, and
// a connector that puts neighbouring patches into one row. Their video is not served.
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "model/config_files.h"
#include "model/config_parts.h"
#include "model/text/tokenizer.h"

namespace uhd {
namespace {

// The published config classes assume these of the tower if a file is silent.
ConfigObject smolvlm_vision(const ConfigObject& json) {
  const ConfigObject given = json.object("vision_config");
  boost::json::object values{{"hidden_size", 1152},     {"intermediate_size", 3072},
                             {"num_hidden_layers", 12}, {"num_attention_heads", 16},
                             {"image_size", 224},       {"patch_size", 32}};
  for (const auto& [key, value] : given.values()) {
    if (!value.is_null()) values[key] = value;
  }
  return {given.where(), values};
}

void read_connector(const ConfigObject& json, ModelConfig& model) {
  ResamplerConfig& r = model.resampler;
  r.kind = ResamplerKind::pixel_shuffle;
  r.shuffle = json.integer("scale_factor", 1, 16, 2);
  const int side = model.vision->image / model.vision->patch;
  require(side % r.shuffle == 0, json.at("scale_factor"), " of ", r.shuffle, " does not divide the ", side,
          " patches of a tile's side");
}

// The longest side of a picture becomes a number of tiles.
void read_tiling(const ConfigObject& preprocessor, ModelConfig& model) {
  SlicingConfig& s = model.slicing;
  s.kind = SlicingConfig::Kind::tiles;
  s.patch = model.vision->patch;
  s.scale = preprocessor.object("max_image_size").integer("longest_edge", 1, 8192, model.vision->image);
  require(s.scale == model.vision->image, preprocessor.at("max_image_size"), " is ", s.scale,
          ", and the tower's image_size is ", model.vision->image);
  s.prescale_longest = preprocessor.object("size").integer("longest_edge", s.scale, 4096, 4 * s.scale);
  const int most = (s.prescale_longest + s.scale - 1) / s.scale;
  s.max_slices = preprocessor.flag("do_image_splitting", true) ? most * most : 1;
  require(s.max_slices <= 64, preprocessor.at("size"), ": ", s.max_slices, " tiles are more than 64");
  const int resample = preprocessor.integer("resample", 0, 5, 1);
  require(resample == 1, preprocessor.at("resample"), " is ", resample, ", not 1 (Lanczos)");
}

// SmolVLM has a token for each mark of a tile's place. Idefics3-8B has none, and its processor writes them as
// text between two tokens, so that each is tokenised alone.
class PlaceMarks {
 public:
  PlaceMarks(const SpecialTokens& tokens, const std::filesystem::path& directory) : tokens_(tokens) {
    if (!tokens.has("<global-img>")) words_ = load_tokenizer(directory);
  }
  std::vector<int32_t> ids_of(const std::string& mark) const {
    if (words_ == nullptr) return {tokens_.id_of(mark)};
    return words_->encode(mark, false, false);
  }

 private:
  const SpecialTokens& tokens_;
  std::shared_ptr<const Tokenizer> words_;
};

void read_layout(ModelConfig& model) {
  const SpecialTokens tokens(model.directory, model.language.vocabulary);
  const int32_t border = tokens.id_of("<fake_token_around_image>");
  ImageLayout& l = model.layout;
  l.row_separator = {tokens.newline()};
  // Two newlines stand before the overview, and the tokenizer may have one token for both.
  l.last_row_separator = tokens.newlines();
  l.before_slice = {border};
  const PlaceMarks marks(tokens, model.directory);
  l.before_overview = marks.ids_of("<global-img>");
  l.before_overview.insert(l.before_overview.begin(), border);
  l.after_overview = {border};
  l.mark_columns = (model.slicing.prescale_longest + model.slicing.scale - 1) / model.slicing.scale;
  for (int row = 1; row <= l.mark_columns; ++row) {
    for (int column = 1; column <= l.mark_columns; ++column) {
      l.cell_marks.push_back(marks.ids_of(message("<row_", row, "_col_", column, ">")));
    }
  }
}

}  // namespace

bool is_smolvlm(const ConfigObject& json) {
  const std::string architecture = json.first_text("architectures");
  return architecture == "SmolVLMForConditionalGeneration" ||
         architecture == "Idefics3ForConditionalGeneration";
}

void read_smolvlm(const ConfigObject& json, ModelConfig& model) {
  const ConfigObject text = json.object("text_config");
  model.family = Family::smolvlm;
  model.language = read_language_config(text, text.text("model_type", "llama"));
  model.language.tied = text.flag("tie_word_embeddings", json.flag("tie_word_embeddings", false));
  for (const char* key : {"rope_interleaved", "use_resampler", "qk_layer_norms"}) {
    require(!text.flag(key, false), text.at(key), " is not supported");
  }
  model.prefix_language = "model.text_model.";
  model.prefix_vision = "model.vision_model.";
  model.prefix_resampler = "model.connector.modality_projection.";
  model.vision_directory = model.directory;
  model.vision = read_vision_config(smolvlm_vision(json), -1, "smolvlm_vision");
  model.vision->post_norm = true;
  model.vision->bucket_positions = true;
  model.vision->equal_fractions = true;
  const ConfigObject preprocessor = ConfigObject::read(model.directory / "preprocessor_config.json");
  read_normalisation(preprocessor, *model.vision);
  read_connector(json, model);
  read_tiling(preprocessor, model);
  read_layout(model);
}

}  // namespace uhd
