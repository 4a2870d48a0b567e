#include "engine/launch/model_files.h"

#include "base/archive.h"
#include "base/hash.h"
#include "engine/launch/model_facts.h"
#include "kernels/cpu/isa.h"
#include "model/weights/packed_cache.h"
#include "model/weights/parameters.h"

namespace uhd {

namespace {

void override_slicing(SlicingConfig& slicing, const ImageOptions& options) {
  if (options.max_slices > 0) slicing.max_slices = options.max_slices;
  if (options.prescale_longest >= 0) slicing.prescale_longest = options.prescale_longest;
}

WeightFormat weight_format(const std::string& dtype, const ModelFiles& files) {
  if (dtype == "f32") return WeightFormat::f32;
  if (dtype == "bf16") return WeightFormat::bf16;
  require(dtype == "auto", "model.dtype is \"", dtype, "\", but must be auto, bf16 or f32");
  const Tensor* table = files.checkpoint.find(files.config.prefix_language + "embed_tokens.weight");
  return table != nullptr && table->dtype() == DType::f32 ? WeightFormat::f32 : WeightFormat::bf16;
}

WeightFormat vision_format(const std::string& dtype, const ModelFiles& files) {
  if (files.format == WeightFormat::f32) {
    require(dtype != "bf16", "model.vision_dtype=bf16 needs model.dtype=bf16");
    return WeightFormat::f32;
  }
  if (dtype == "f32") return WeightFormat::f32;
  if (dtype == "bf16") return WeightFormat::bf16;
  require(dtype == "auto", "model.vision_dtype is \"", dtype, "\", but must be auto, bf16 or f32");
  return files.config.vision && files.config.vision->wants_f32 ? WeightFormat::f32 : files.format;
}

// The tower's layers as codes, beside the rest of it in bf16.
WeightFormat tower_layers(const std::string& quantize, WeightFormat otherwise) {
  if (quantize == "none") return otherwise;
  require(quantize == "int8", "model.vision_quantize is \"", quantize, "\", but must be none or int8");
  require(otherwise == WeightFormat::bf16,
          "model.vision_quantize=int8 needs the rest of the tower in bf16: set model.vision_dtype=bf16");
  return WeightFormat::int8;
}

WeightFormat matrix_format(const std::string& quantize, WeightFormat otherwise) {
  if (quantize == "none") return otherwise;
  for (const WeightFormat format : {WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4}) {
    if (quantize == name_of(format)) return format;
  }
  throw Error(message("model.quantize is \"", quantize, "\", but must be none, fp8, int8 or int4"));
}

void keep_packed(ModelFiles& files, const EngineOptions& options) {
  const auto cache = std::make_shared<PackedCache>(
      options.cache_dir, message("cpu, second form, ", cpu::choose_table(options.backend.isa).name));
  files.checkpoint.keep_packed(cache);
  if (files.tower) files.tower->keep_packed(cache);
}

std::string identity_of(const Facts& facts) {
  std::vector<std::byte> text;
  Writer{text}(facts);
  return fingerprint({text}).hex();
}

}  // namespace

ModelConfig read_served_config(const EngineOptions& options) {
  require(!options.model_path.empty(), "no model is given: set model.path to a checkpoint directory");
  ModelConfig config = read_model_config(options.model_path, options.vision_tower);
  override_slicing(config.slicing, options.image);
  return config;
}

ModelFiles open_model(const EngineOptions& options) {
  ModelFiles files{.config = read_served_config(options), .checkpoint = Checkpoint(options.model_path)};
  if (files.config.vision && !files.config.vision_directory.empty() &&
      files.config.vision_directory != files.config.directory) {
    files.tower.emplace(files.config.vision_directory);
  }
  require_complete(files.config, files.checkpoint, files.tower ? &*files.tower : nullptr);
  files.format = weight_format(options.dtype, files);
  files.vision = tower_layers(options.vision_quantize, vision_format(options.vision_dtype, files));
  files.matrices = matrix_format(options.quantize, files.format);
  require(!options.backend.quantize_activations || files.matrices == WeightFormat::fp8 ||
              files.matrices == WeightFormat::int8,
          "model.quantize_activations needs model.quantize=fp8 or int8, and that is \"", options.quantize,
          '"');
  if (!options.cache_dir.empty() && options.backend.kind != "cuda") keep_packed(files, options);
  files.identity = identity_of(encoder_facts(files, options));
  return files;
}

WeightFormat tower_format(const ModelFiles& files, const EngineOptions& options, const Backend& backend) {
  if (files.vision == files.format || backend.activation_dtype() == DType::f32) return files.vision;
  require(
      options.vision_dtype != "f32",
      "model.vision_dtype=f32 beside a language model in bf16 is not implemented by this backend: leave it "
      "out, or set model.dtype=f32");
  return files.format;
}

std::unique_ptr<Backend> make_rank_backend(const ModelFiles& files, const EngineOptions& options) {
  BackendOptions own = options.backend;
  own.compute = files.format;
  auto backend = make_backend(own);
  require(options.vision_quantize == "none" || backend->host_memory(),
          "model.vision_quantize is not implemented by the CUDA backend: leave it out");
  require(!options.backend.quantize_activations || !backend->host_memory() ||
              files.matrices == WeightFormat::int8,
          "model.quantize_activations on the CPU needs model.quantize=int8, and that is \"", options.quantize,
          '"');
  require(options.cache_dir.empty() || backend->host_memory(),
          "model.cache_dir is not implemented by the CUDA backend: leave it out");
  return backend;
}

}  // namespace uhd
