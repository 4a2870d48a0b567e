// Parses a chat template's source into its tree.
#pragma once

#include <string_view>

#include "model/text/jinja/ast.h"

namespace uhd::jinja {

// An Error names the line. Templates that nest too deeply, or are too large, are refused.
NodePtr parse(std::string_view source);

}  // namespace uhd::jinja
