// Whether a template knows what it calls: asked when it is read, so that no request finds it out.
#pragma once

#include "model/text/jinja/ast.h"

namespace uhd::jinja {

// An Error with the line for a filter, test, function or method that nothing defines.
void check_names(const Node& root);
// Whether a variable of this name is read in the tree.
bool reads_name(const Node& node, std::string_view name);

}  // namespace uhd::jinja
