// Implements Python's methods of text, on text that remembers what a user typed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/text/jinja/builtins.h"
#include "model/text/jinja/value.h"

namespace uhd::jinja {

// Works like str.isspace of one character; `trim` takes these away.
bool is_blank(uint32_t code_point);
// Removes the characters of `set` (null: whitespace) at the ends.
MarkedText trimmed(const MarkedText& text, const std::string* set, bool left, bool right, Budget& budget);
enum class Case : uint8_t { lower, upper, title, capitalize, swapped };
MarkedText changed_case(const MarkedText& text, Case to, Budget& budget);
// Works like str.splitlines.
List split_lines(const MarkedText& text, bool keep_ends);

bool is_text_method(std::string_view name);
// Calls a method of a value that is a text. A name for which is_text_method is false is an Error.
Value text_method(const Value& text, const std::string& name, const Arguments& arguments, Budget& budget);

}  // namespace uhd::jinja
