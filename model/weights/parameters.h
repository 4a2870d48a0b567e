// Every tensor that a model of a given config must hold: name, shape, and how tensor parallelism divides it.
// One table per model part; loading, checking and memory figures all read these tables.
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
  kv_heads,    // outputs divided by key/value heads; repeated where there are more ranks than heads
  row,         // inputs (dimension 1) are divided: o, down; an all-reduce follows
  vocabulary,  // ids (dimension 0), padded so that every rank has as many
  unused,      // published with the model, never read here: layers above the selected one, CLIP's last norm
};

struct Parameter {
  std::string name;
  Shape shape;
  ShardRule rule = ShardRule::whole;
  bool product = false;  // a matrix of the language model that is multiplied with: what is quantized
};

// The format of the matrix that gives the logits, where the layers' are in `layers`: four bits are too few
// for it.
WeightFormat head_format(WeightFormat layers);

std::vector<Parameter> language_parameters(const ModelConfig& model);
std::vector<Parameter> vision_parameters(const ModelConfig& model);     // empty for text models
std::vector<Parameter> resampler_parameters(const ModelConfig& model);  // empty for text models

// Everything wrong with the files, one line each, naming the tensor: missing, misshaped, not of a float type,
// or unknown where the model computes (a bias, an adapter, a layer too many). `tower` is the checkpoint of
// model.vision_directory when that is another folder, else null.
std::vector<std::string> problems_of(const ModelConfig& model, const Checkpoint& checkpoint,
                                     const Checkpoint* tower);
// Tensors that are read by nobody: copies and parts of other models, and buffers (but for the two that most
// published files have).
std::vector<std::string> unused_tensors(const ModelConfig& model, const Checkpoint& checkpoint,
                                        const Checkpoint* tower);
// Throws an Error with the first of the problems; without any, warns of unused tensors in one line.
void require_complete(const ModelConfig& model, const Checkpoint& checkpoint, const Checkpoint* tower);

// Bytes of weights that one rank holds. A quantized format is that of the language model's matrices; what is
// not quantized is then counted in bf16.
size_t weight_bytes(const std::vector<Parameter>& parameters, const LanguageConfig& language, int ranks,
                    WeightFormat format);

}  // namespace uhd
