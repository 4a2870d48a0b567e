// Parses the expressions of a chat template, which stand in {{ }} and in the tags.
#pragma once

#include "model/text/jinja/reader.h"

namespace uhd::jinja {

NodePtr parse_expression(TokenReader& in);
// Parses a list; a, b, c without brackets is a tuple.
NodePtr parse_expression_list(TokenReader& in);
// Parses the filters behind `of`, from the first one's name on.
NodePtr parse_filters(TokenReader& in, NodePtr of);
// Parses an expression without a conditional: an `if` behind it is left to be read.
NodePtr parse_operand(TokenReader& in);

}  // namespace uhd::jinja
