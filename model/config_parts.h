// Reads each part of a ModelConfig from the JSON object that describes it. read_model_config uses these
// functions.
#pragma once

#include "model/config.h"
#include "model/config_object.h"

namespace uhd {

// Reads a Llama, Mistral, Qwen2 or Qwen3 language model. `model_type` decides the defaults, the biases of q,
// k and v, and the norms of their heads.
LanguageConfig read_language_config(const ConfigObject& json, const std::string& model_type);

// Reads the end, begin and padding ids. Every file may name end ids, and all of them count. For begin and
// padding, generation_config.json goes before the model's own ids, which are in `outer` and then `inner`.
void read_token_ids(const ConfigObject& generation, const ConfigObject& outer, const ConfigObject& inner,
                    LanguageConfig& language);

// Reads how tokens are drawn where a request does not say: temperature, top_p, top_k, min_p and
// repetition_penalty. As other servers do, it leaves do_sample aside. A value out of range is left out, with
// a warning in the log.
SamplingRule read_sampling_defaults(const ConfigObject& generation);

// Reads a CLIP or SigLIP tower from its `vision_config` (or a config.json that is one). `select_layer` is the
// index into the hidden states as published: -2 is the input of the last layer. `default_type` is that of a
// file that names none.
VisionConfig read_vision_config(const ConfigObject& json, int select_layer,
                                const char* default_type = "clip_vision_model");

// Reads mean and deviation from a preprocessor_config.json, if it has them.
void read_normalisation(const ConfigObject& preprocessor, VisionConfig& vision);

// Returns true if the file is that of a MiniCPM-V or MiniCPM-o, of whatever version.
bool is_minicpmv(const ConfigObject& json);
// Reads all of it but for the ids of its tokens. A version that is not supported is an Error.
void read_minicpmv(const ConfigObject& json, ModelConfig& model);

// Returns true if the file is that of a SmolVLM or Idefics3, and reads all of it but for the ids of its
// tokens.
bool is_smolvlm(const ConfigObject& json);
void read_smolvlm(const ConfigObject& json, ModelConfig& model);

// Returns the published geometry of a tower known by its hub name; empty if it is unknown.
ConfigObject known_vision_tower(const std::string& name);

}  // namespace uhd
