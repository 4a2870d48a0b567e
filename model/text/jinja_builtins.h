// Filters, tests and methods of the language of chat templates.
#pragma once

#include <map>
#include <string>

#include "model/text/jinja_value.h"

namespace uhd::jinja {

struct Arguments {
  List positional;
  std::map<std::string, Value> named;
  // The argument at this place or of this name, else null.
  const Value* get(size_t place, const std::string& name) const;
};

// Each throws Error for a name it does not know and for values of the wrong type.
Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget);
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget);
Value call_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget);
Value call_function(Function function, const Arguments& arguments, Budget& budget);

// object[key] and object.name as Jinja looks them up; undefined when there is nothing.
Value subscript(const Value& object, const Value& key, Budget& budget);
Value attribute(const Value& object, const std::string& name, Budget& budget);
bool contains(const Value& container, const Value& value, Budget& budget);

}  // namespace uhd::jinja
