// Checks that a template knows every name it calls. The check runs when the template is read, so that no
// request finds it out.
#pragma once

#include <set>
#include <string>

#include "model/text/jinja/ast.h"

namespace uhd::jinja {

// Throws an Error with the line for a filter, test, function or method that nothing defines.
void check_names(const Node& root);
// Returns the variables that the tree expects from outside, by name: those that it reads and never sets, and
// those for which it asks whether they are defined.
std::set<std::string, std::less<>> free_names(const Node& root);
// Returns true if the tree reads a variable of this name.
bool reads_name(const Node& node, std::string_view name);

}  // namespace uhd::jinja
