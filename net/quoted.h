// A client's text inside a message of ours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uhd {

// Returns valid UTF-8 without control characters: U+FFFD stands for each invalid byte, "?" for each control
// character, and a text longer than `most` bytes is cut after a whole character and ends in "...".
std::string quoted(std::string_view bytes, size_t most = 200);

}  // namespace uhd
