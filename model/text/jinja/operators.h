// Applies the operators of an expression to values.
#pragma once

#include <array>
#include <string>

#include "model/text/jinja/value.h"

namespace uhd::jinja {

// Applies + - ~ * / // % ** as Python does; a whole number beyond 64 bits is an Error.
Value combine(const std::string& operation, const Value& left, const Value& right, Budget& budget);
Value negated(const Value& value, Budget& budget);
bool compare_by(const std::string& operation, const Value& left, const Value& right, Budget& budget);
// Returns object[begin:end:step]; a missing bound is null.
Value slice_of(const Value& object, const std::array<const Value*, 3>& bounds, Budget& budget);
// Writes & < > " ' as entities, in text that is not escaped yet.
Value escaped(const Value& value, Budget& budget);

}  // namespace uhd::jinja
