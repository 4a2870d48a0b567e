// Text that JSON can carry, and what of a client's text is given back.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uhd {

// Each byte that is not part of a valid UTF-8 character becomes U+FFFD.
std::string valid_utf8(std::string_view bytes);

// Where the first byte stands that is not part of a valid character; the size, if there is none.
size_t first_invalid_utf8(std::string_view bytes);

// A client's text inside a message of ours: valid, without control characters, and cut after a whole
// character with "..." where it is longer than `most` bytes.
std::string quoted(std::string_view bytes, size_t most = 200);

// Characters as Python counts them: code points of valid text.
size_t count_characters(std::string_view text);

}  // namespace uhd
