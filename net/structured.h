// Reads what a call says of the text of its answer, in the forms of OpenAI, vLLM, SGLang and llama.cpp. Only
// the .cc files of net/ may include this header.
#pragma once

#include <optional>
#include <string>

#include "engine/request.h"
#include "net/field_check.h"
#include "net/json_fields.h"

namespace uhd {

struct AnswerRule {
  GrammarSpec grammar;
  std::string field;  // the field that asks for it, which a refusal of the grammar names
};

// Returns what the answer must be, or nothing where it may be any text. Two rules in one call are an error.
std::optional<AnswerRule> read_rule(const Fields& call, FieldCheck& known);

}  // namespace uhd
