// Text that JSON can carry.
#pragma once

#include <string>
#include <string_view>

namespace uhd {

// Each byte that is not part of a valid UTF-8 character becomes U+FFFD.
std::string valid_utf8(std::string_view bytes);

}  // namespace uhd
