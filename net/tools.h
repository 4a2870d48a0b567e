// Reads the tools of a call, in OpenAI's form: what the chat template shows of them, how calls in the answer
// are found, and the grammar that holds calls. Only the .cc files of net/ may include this header.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "net/field_check.h"
#include "net/json_fields.h"
#include "net/structured.h"

namespace uhd {

struct ToolUse {
  std::string tools;               // a JSON array for the chat template; empty: none are shown
  bool may_call = false;           // calls are told apart from the answer's text
  bool parallel = true;            // several calls in one answer
  std::vector<std::string> names;  // names of the tools that may be called
  std::vector<std::string> held;   // those whose calls the rule holds
  std::optional<AnswerRule> rule;  // holds the answer, with its calls
};

// `tool_choice` is auto unless said otherwise; with none, the tools are not shown. `text` is the rule for an
// answer that is no call.
ToolUse read_tools(const Fields& call, const ModelInfo& model, FieldCheck& known,
                   std::optional<AnswerRule> text = std::nullopt);

// Reads the calls of an earlier answer. Returns a JSON array whose arguments are objects, as templates want
// them; empty if there are none.
std::string read_tool_calls(const Fields& message, const ModelInfo& model, FieldCheck& known);

}  // namespace uhd
