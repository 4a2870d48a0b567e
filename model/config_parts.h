// Reads each part of a ModelConfig from the JSON object that describes it. read_model_config uses these
// functions.
#pragma once

#include "model/config.h"
#include "model/config_object.h"

namespace uhd {

// Reads a Llama, Mistral or Qwen2 language model. `model_type` decides defaults and the biases of q, k and v.
LanguageConfig read_language_config(const ConfigObject& json, const std::string& model_type);

// Reads the end, begin and padding ids. Every file may name end ids, and all of them count. For begin and
// padding, generation_config.json goes before the model's own ids, which are in `outer` and then `inner`.
void read_token_ids(const ConfigObject& generation, const ConfigObject& outer, const ConfigObject& inner,
                    LanguageConfig& language);

// Reads a CLIP or SigLIP tower from its `vision_config` (or a config.json that is one). `select_layer` is the
// index into the hidden states as published: -2 is the input of the last layer.
VisionConfig read_vision_config(const ConfigObject& json, int select_layer);

// Reads mean and deviation from a preprocessor_config.json, if it has them.
void read_normalisation(const ConfigObject& preprocessor, VisionConfig& vision);

// Returns the published geometry of a tower known by its hub name; empty if it is unknown.
ConfigObject known_vision_tower(const std::string& name);

}  // namespace uhd
