// What a rank's results and shapes follow from, as facts that ranks compare when they meet.
#pragma once

#include "cluster/agreement.h"
#include "engine/launch/model_files.h"

namespace uhd {

// What the rows of a slice follow from: the checkpoint, its configuration, the formats and the preprocessing.
// Leader and encoders compare it.
Facts encoder_facts(const ModelFiles& files, const EngineOptions& options);

// What LLM ranks compare: that, the language model's formats, and everything that memory and steps are sized
// by. Instruction sets, threads and devices may differ.
Facts llm_facts(const ModelFiles& files, const EngineOptions& options, const Backend& backend);

}  // namespace uhd
