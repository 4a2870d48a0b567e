// A rank's results and shapes follow from these facts, which ranks compare when they meet.
#pragma once

#include "cluster/agreement.h"
#include "engine/launch/model_files.h"

namespace uhd {

// The rows of a slice follow from these: the checkpoint, its configuration, the formats and the
// preprocessing. Leader and encoders compare it.
Facts encoder_facts(const ModelFiles& files, const EngineOptions& options);

// LLM ranks compare these: the facts of encoders, the language model's formats, the instruction set that was
// chosen on the CPU, since sums differ between them, and everything that memory and steps are sized by.
// Threads and devices may differ.
Facts llm_facts(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

}  // namespace uhd
