// Writes values as JSON, as the filter tojson of transformers does: json.dumps with its own defaults.
#pragma once

#include <string>

#include "model/text/jinja/value.h"

namespace uhd::jinja {

struct JsonStyle {
  bool ascii = false;  // other characters become escapes
  bool sorted = false;
  bool lines = false;  // one line for each item, with `indent` for each level
  std::string indent;
  std::string between = ", ";
  std::string colon = ": ";
};

// Returns the JSON. It is an Error to give a value that json.dumps refuses: undefined values, functions, keys
// that are lists.
MarkedText to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace uhd::jinja
