// A ModelConfig holds everything that the engine must know about a checkpoint, read from the checkpoint's own
// JSON files: its four parts, and the published family they come from. No constant of a family stands
// anywhere else in the engine.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/language/sampling_rule.h"

namespace uhd {

enum class Family : uint8_t {
  text,          // LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM
  llava_uhd_v1,  // adapt_spatial_resampler or perceiver_resampler
  llava_15,      // mlp2x_gelu: original layout or LlavaForConditionalGeneration
  minicpmv_26,   // llm. / vpm. / resampler., as all of MiniCPM: MiniCPM-V 2.6 (Qwen2)
  minicpmv_40,   // MiniCPM-V 4.0 (Llama)
  minicpmv_45,   // MiniCPM-V 4.5 (Qwen3)
  minicpmo_26,   // MiniCPM-o 2.6 (Qwen2), its vision and text
  minicpmo_45,   // MiniCPM-o 4.5 (Qwen3), its vision and text
  smolvlm,       // SmolVLM, SmolVLM2, Idefics3
};
// Returns the name as the API and the programs print it: "text", "llava-uhd-v1", "minicpm-v-4.5".
std::string name_of(Family family);

enum class Activation : uint8_t { silu, gelu, gelu_tanh, quick_gelu };

struct RopeScaling {
  enum class Kind : uint8_t { none, linear, dynamic, llama3, yarn, longrope } kind = Kind::none;
  double factor = 1;
  double low_freq_factor = 1;   // llama3
  double high_freq_factor = 4;  // llama3
  int original_context = 0;     // llama3, yarn, longrope
  double beta_fast = 32;        // yarn
  double beta_slow = 1;
  double attention_factor =
      0;                 // yarn; 0: 0.1 ln(factor) + 1. longrope; 0: sqrt(1 + ln(factor) / ln(original))
  bool truncate = true;  // yarn: correction range rounded to whole dimensions
  std::vector<double> short_factors, long_factors;  // longrope: factors of the frequencies, [head_dim / 2]
};

struct LanguageConfig {
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int intermediate = 0;
  int vocabulary = 0;
  int context = 0;  // max_position_embeddings
  float norm_eps = 1e-5f;
  double rope_theta = 10000;
  RopeScaling rope;
  bool qkv_bias = false;
  bool head_norms = false;  // Qwen3: q and k of each head are normed before the rotation
  bool tied = false;
  std::vector<int32_t> eos_ids;
  int32_t bos_id = -1;
  int32_t pad_id = -1;
};

// Adds the id unless it is there already.
void add_end_token(LanguageConfig& language, int32_t id);

struct VisionConfig {
  // CLIP has a class token and a norm before its first layer, SigLIP a bias in the embedding of its patches.
  enum class Kind : uint8_t { clip, siglip } kind = Kind::clip;
  int layers = 0;        // layers that run: up to the selected hidden state
  int total_layers = 0;  // layers that the checkpoint holds
  int hidden = 0;
  int heads = 0;
  int intermediate = 0;
  int patch = 14;
  int image = 336;  // the native size: the position table is (image/patch)²
  float norm_eps = 1e-5f;
  Activation activation = Activation::quick_gelu;
  bool post_norm = false;  // MiniCPM-V's post_layernorm on the output
  bool wants_f32 = false;  // f32 beside a language model in bf16 too, where the backend can (mm_vision_dtype)
  bool bucket_positions =
      false;  // NaViT: fractional coordinates bucketed into the table, instead of interpolation
  bool equal_fractions = false;  // fractions are i / n as SmolVLM rounds it, instead of NaViT's
  std::array<float, 3> mean{};
  std::array<float, 3> deviation{};
};

enum class ResamplerKind : uint8_t {
  mlp,            // Linear, GELU, Linear on every patch
  perceiver,      // learned queries, one cross-attention over all patches of a slice
  spatial,        // adapt_spatial_resampler: each query attends its own region
  pixel_shuffle,  // a square of patches becomes one row, then Linear
};
struct ResamplerConfig {
  ResamplerKind kind = ResamplerKind::mlp;
  int queries = 0;  // queries per slice; mlp: 0, as many tokens as patches
  int width = 0;
  int heads = 0;
  int shuffle = 1;  // pixel_shuffle: the side of a square, in patches
  // MiniCPM: integer sin-cos positions on keys, none on queries; else a stored table on both.
  bool sincos_keys = false;
  float norm_eps = 1e-6f;
  // mlp: tensors are `0.` and `2.` (the original layout), else `linear_1.` and `linear_2.`.
  bool stored_in_sequence = false;
};

enum class SliceRounding : uint8_t { floor, nearest_even };
struct SlicingConfig {
  enum class Kind : uint8_t {
    adaptive,     // LLaVA-UHD: variable-sized slices and an overview
    pad_square,   // LLaVA-1.5: one square, padded with the mean colour
    centre_crop,  // LLaVA-1.5 through its HF processor: shortest side scaled, centre cropped
    tiles,  // SmolVLM: longest side scaled to prescale_longest, squares of `scale`, and all in one square
  } kind = Kind::adaptive;
  int scale = 336;  // S
  int patch = 14;
  int max_slices = 7;
  SliceRounding rounding = SliceRounding::floor;
  int prescale_longest = 0;  // 0: off
};

// An ImageLayout says how an image's rows are wrapped and joined in the prompt, as token ids.
struct ImageLayout {
  bool overview_first = false;
  std::vector<int32_t> column_separator;    // stands after a slice that is not the last of its row
  std::vector<int32_t> row_separator;       // stands after a row
  std::vector<int32_t> last_row_separator;  // stands after the last row, if not as after the others
  bool separator_after_last_row = true;     // UHD: yes; MiniCPM: rows are joined
  // SmolVLM: a mark before each slice, by its place; row r and column c have cell_marks[r · mark_columns +
  // c].
  std::vector<std::vector<int32_t>> cell_marks;
  int mark_columns = 0;
  const std::vector<int32_t>& cell_mark(int row, int column) const {
    return cell_marks.at(static_cast<size_t>(row) * mark_columns + column);
  }
  std::vector<int32_t> before_overview, after_overview;
  std::vector<int32_t> before_slice, after_slice;
  bool image_ids = false;  // MiniCPM: <image_id>N</image_id> before each image
};

struct ModelConfig {
  Family family = Family::text;
  // The name of the directory, or of the link to it; /v1/models shows it unless one is configured.
  std::string name;
  LanguageConfig language;
  SamplingRule sampling;  // recommended by generation_config.json, for requests that say nothing
  std::optional<VisionConfig> vision;
  ResamplerConfig resampler;
  SlicingConfig slicing;
  ImageLayout layout;
  std::filesystem::path directory;
  std::filesystem::path vision_directory;  // the place of the tower's tensors, if not inside the checkpoint
  // The prefixes come before "layers.0.", "encoder.layers.0." and the resampler's own names; each ends in
  // ".".
  std::string prefix_language, prefix_vision, prefix_resampler;
  // The prefixes of published parts that are not served: MiniCPM-o's audio and speech.
  std::vector<std::string> left_aside;
  std::string head;  // name of the output head's tensor (absent from the files where embeddings are tied)
};

// Reads config.json (and preprocessor_config.json, generation_config.json, the tower's config.json). A
// missing or absurd value is an Error that names file and key: every size is range-checked here, so the code
// behind can trust it. `vision_tower` is the tower's folder when config.json names a place that is not here
// (a hub name, an absolute path); with "" the function looks inside the directory and beside it.
ModelConfig read_model_config(const std::filesystem::path& directory,
                              const std::filesystem::path& vision_tower = {});

}  // namespace uhd
