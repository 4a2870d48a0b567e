// The parts of a ModelConfig, each from the JSON object that describes it. Used by read_model_config.
#pragma once

#include "model/config.h"
#include "model/config_object.h"

namespace uhd {

// A Llama, Mistral or Qwen2 language model. `architecture` decides defaults and the biases of q, k and v.
LanguageConfig read_language_config(const ConfigObject& json, const std::string& model_type);

// End, begin and padding ids. Every file may name ends: all of them count. For the others
// generation_config.json stands over the model's own; `outer` and then `inner` hold the latter.
void read_token_ids(const ConfigObject& generation, const ConfigObject& outer, const ConfigObject& inner,
                    LanguageConfig& language);

// A CLIP or SigLIP tower from its `vision_config` (or a config.json that is one). select_layer: index into
// the hidden states as published: -2 is the input of the last layer.
VisionConfig read_vision_config(const ConfigObject& json, int select_layer);

// Mean and deviation from a preprocessor_config.json, where it has them.
void read_normalisation(const ConfigObject& preprocessor, VisionConfig& vision);

// The published geometry of a tower known by its hub name; empty when unknown.
ConfigObject known_vision_tower(const std::string& name);

}  // namespace uhd
