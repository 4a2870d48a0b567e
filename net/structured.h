// Reads what a call says of the text of its answer, in the forms of OpenAI, vLLM, SGLang and llama.cpp. Only
// the .cc files of net/ may include this header.
#pragma once

#include <optional>

#include "engine/request.h"
#include "net/field_check.h"
#include "net/json_fields.h"

namespace uhd {

// Returns what the answer must be, or nothing where it may be any text. Two rules in one call are an error.
std::optional<GrammarSpec> read_grammar(const Fields& call, FieldCheck& known);

}  // namespace uhd
