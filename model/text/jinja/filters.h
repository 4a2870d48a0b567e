// Holds the filters in two tables: those of one value, and those that go through many.
#pragma once

#include <string>
#include <unordered_map>

#include "model/text/jinja/builtins.h"

namespace uhd::jinja {

using Filter = Value (*)(const Value&, const Arguments&, Budget&);
using Filters = std::unordered_map<std::string, Filter>;

const Filters& value_filters();
const Filters& sequence_filters();

}  // namespace uhd::jinja
