// The version of the program, as the build names it.
#pragma once

#include <string_view>

namespace uhd {

std::string_view version();

}  // namespace uhd
