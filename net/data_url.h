// Reads the bytes of images from a message: only data URLs with base64. A URL is never fetched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "net/api_error.h"

namespace uhd {

// Returns true if the bytes begin as a JPEG, PNG or WebP file does.
bool is_image_file(std::string_view bytes);

// Decodes base64 the way browsers read it in a data URL: whitespace is ignored, percent escapes are decoded,
// and padding is optional. Both alphabets are taken, the usual one and that of URLs. Returns nothing when the
// text is not base64.
std::optional<std::string> decode_base64(std::string_view text);

// Returns the bytes of "data:image/png;base64,..." when they begin as a JPEG, PNG or WebP file does (whatever
// the media type claims) and are at most max_bytes, which is checked before anything is decoded. The error
// has no param.
std::variant<std::string, ApiError> decode_image_url(std::string_view url, int64_t max_bytes);

}  // namespace uhd
