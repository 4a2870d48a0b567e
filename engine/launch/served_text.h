// All that decides a prompt's tokens, and what a model tells of itself. It needs no weights.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/leader/intake.h"
#include "engine/options.h"
#include "model/config.h"

namespace uhd {

struct ServedText {
  ModelInfo info;  // complete but for its fingerprint
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Intake> intake;
};

// Reads the tokenizer and the chat template of options.model_path. `config` is read_served_config()'s.
ServedText read_served_text(const ModelConfig& config, const EngineOptions& options, IntakeLimits limits);

}  // namespace uhd
