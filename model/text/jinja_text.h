// Python's methods of text, on text that remembers what a user typed.
#pragma once

#include <string>

#include "model/text/jinja_builtins.h"
#include "model/text/jinja_value.h"

namespace uhd::jinja {

// Without the characters of `set` (null: whitespace) at the ends.
MarkedText trimmed(const MarkedText& text, const std::string* set, bool left, bool right, Budget& budget);
enum class Case : uint8_t { lower, upper, title, capitalize };
MarkedText changed_case(const MarkedText& text, Case to, Budget& budget);

// strip, lstrip, rstrip, split, rsplit, splitlines, startswith, endswith, upper, lower, title, capitalize,
// replace, find, count, join, removeprefix, removesuffix, is...; another name is an Error.
Value text_method(const MarkedText& text, const std::string& name, const Arguments& arguments,
                  Budget& budget);

}  // namespace uhd::jinja
