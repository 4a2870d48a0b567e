// Lists every tensor that a model of a given config must hold: name, shape, and how tensor parallelism
// divides it. There is one table per model part; loading, checking and memory figures all read these tables.
#pragma once

#include <string>
#include <vector>

#include "kernels/weight.h"
#include "model/config.h"
#include "model/weights/checkpoint.h"

namespace uhd {

enum class ShardRule : uint8_t {
  whole,       // every rank holds all of it
  column,      // outputs (dimension 0) are divided: q, gate, up
  kv_heads,    // outputs divided by key/value heads; repeated if there are more ranks than heads
  row,         // inputs (dimension 1) are divided: o, down; an all-reduce follows
  vocabulary,  // ids (dimension 0), padded so that every rank has as many
  unused,      // published with the model, never read here: layers above the selected one, CLIP's last norm
};

struct Parameter {
  std::string name;
  Shape shape;
  ShardRule rule = ShardRule::whole;
  bool product = false;  // a matrix of the language model that products read; these are quantized
};

// Returns the format of the matrix that gives the logits, if the layers' format is `layers`: four bits are
// too few for it.
WeightFormat head_format(WeightFormat layers);

std::vector<Parameter> language_parameters(const ModelConfig& model);
std::vector<Parameter> vision_parameters(const ModelConfig& model);     // empty for text models
std::vector<Parameter> resampler_parameters(const ModelConfig& model);  // empty for text models

// Returns all problems of the files, one line each, naming the tensor: missing, misshaped, not of a float
// type, or unknown where the model computes (a bias, an adapter, a layer too many). `tower` is the checkpoint
// of model.vision_directory if that is another folder, else null.
std::vector<std::string> problems_of(const ModelConfig& model, const Checkpoint& checkpoint,
                                     const Checkpoint* tower);
// Returns the tensors that nothing reads: copies and parts of other models, and buffers (except the two that
// most published files have, and the parts in model.left_aside).
std::vector<std::string> unused_tensors(const ModelConfig& model, const Checkpoint& checkpoint,
                                        const Checkpoint* tower);
// Throws an Error with the first of the problems. If there are none, warns of unused tensors in one line.
void require_complete(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint* tower);

// Returns the bytes of weights that one rank holds. A quantized format is that of the language model's
// matrices; the remaining tensors are then counted in bf16.
size_t weight_bytes(const std::vector<Parameter>& parameters, const LanguageConfig& language, int ranks,
                    WeightFormat format);

}  // namespace uhd
