// Image parts of a message to bytes: data URLs with base64, nothing else. A URL is never fetched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "net/api_error.h"

namespace uhd {

// Bytes of base64 as browsers read it in a data URL: whitespace is no data, percent escapes are decoded,
// padding is optional. Both alphabets are taken, the usual one and that of URLs. Empty when the text is not
// base64.
std::optional<std::string> decode_base64(std::string_view text);

// The bytes of "data:image/png;base64,..." when they begin as a JPEG, PNG or WebP file does (whatever the
// media type claims) and are at most max_bytes, which is checked before anything is
// decoded. The error has no param.
std::variant<std::string, ApiError> decode_image_url(std::string_view url, int64_t max_bytes);

}  // namespace uhd
