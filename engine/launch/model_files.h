// A checkpoint opened for the ranks of this process: config, files, and what names both.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/options.h"
#include "model/config.h"
#include "model/weights/checkpoint.h"

namespace uhd {

// Immutable; shared by the ranks of one process.
struct ModelFiles {
  ModelConfig config;  // the checkpoint's, with the options' overrides of slicing
  Checkpoint checkpoint;
  std::optional<Checkpoint> tower;  // the vision tower's checkpoint, if it lies elsewhere
  WeightFormat format = WeightFormat::bf16;
  WeightFormat vision = WeightFormat::bf16;    // the vision tower's: format, f32 (tower_format), or int8
  WeightFormat matrices = WeightFormat::bf16;  // the language model's: format, or a quantized one
  std::string identity;  // equal on ranks that would compute the same rows: of files and preprocessing

  const Checkpoint& vision_checkpoint() const { return tower ? *tower : checkpoint; }
  // Takes the files' pages out of this process's memory. Call it when all weights are packed.
  void drop_pages() const {
    checkpoint.drop_all();
    if (tower) tower->drop_all();
  }
  DType kv_dtype() const { return format == WeightFormat::f32 ? DType::f32 : DType::bf16; }
};

using SharedFiles = std::shared_ptr<const ModelFiles>;

// Reads the config alone, with the options' overrides.
ModelConfig read_served_config(const EngineOptions& options);

// A checkpoint that is not complete, or an option that it cannot follow, is an Error.
ModelFiles open_model(const EngineOptions& options);

// Returns the format in which the tower runs on this backend: f32 beside a language model in bf16 needs
// activations in f32.
WeightFormat tower_format(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

// The backend of one rank: it forms products of activations as the weights' format says.
std::unique_ptr<Backend> make_rank_backend(const ModelFiles& files, const EngineOptions& options);

}  // namespace uhd
