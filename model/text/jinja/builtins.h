// Gives the filters, tests, functions and methods of the language of chat templates, by name.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/value.h"

namespace uhd::jinja {

struct Arguments {
  List positional;
  std::vector<std::pair<std::string, Value>> named;  // names and values in the order of writing
  // Returns the argument at this place or of this name, else null.
  const Value* get(size_t place, std::string_view name) const;
  const Value* get(std::string_view name) const;
  // Returns the arguments without the first `place` ones.
  Arguments from(size_t place) const;
};

// These say whether a name is known; they are asked when a template is read.
bool is_filter(const std::string& name);
bool is_test(const std::string& name);
bool is_method(const std::string& name);  // a method of a text, list, mapping, loop or cycler
std::optional<Function> function_of(std::string_view name);

// Each throws an Error for values of the wrong type.
Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget);
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget);
Value call_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget);
Value call_function(Function function, const Arguments& arguments, Budget& budget);
// A joiner gives nothing the first time, then its separator.
Value call_joiner(Dict& joiner);

// Sets the members of `loop` for the i-th item. The depth is 1, and one more in each call of a recursive
// loop.
void place_loop(Dict& loop, const List& items, size_t i, int depth);

// Looks up object[key] and object.name as Jinja does; the result is undefined if there is nothing.
Value subscript(const Value& object, const Value& key, Budget& budget);
Value attribute(const Value& object, const std::string& name, Budget& budget);
bool contains(const Value& container, const Value& value, Budget& budget);

int64_t integer_of(const Value& value, const char* what);
bool flag(const Arguments& arguments, size_t place, const char* name, bool fallback);

}  // namespace uhd::jinja
