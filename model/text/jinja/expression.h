// Expressions of a chat template: what stands in {{ }} and in the tags.
#pragma once

#include "model/text/jinja/reader.h"

namespace uhd::jinja {

NodePtr parse_expression(TokenReader& in);
// a, b, c without brackets is a tuple.
NodePtr parse_expression_list(TokenReader& in);
// The filters behind `of`, from the first one's name on.
NodePtr parse_filters(TokenReader& in, NodePtr of);
// Without a conditional: an `if` behind it is left to be read.
NodePtr parse_operand(TokenReader& in);

}  // namespace uhd::jinja
