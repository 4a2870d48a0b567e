// Reads images of file:// URLs below one directory, which the server's owner has named.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "net/api_error.h"
#include "net/image_intake.h"

namespace uhd {

bool is_file_url(std::string_view url);

// Returns the bytes of the file if it lies below `directory` and begins as an image does. The kernel resolves
// the path and leaves the directory on no way, neither by ".." nor by a link (openat2, RESOLVE_BENEATH). All
// that is not found there gets one answer, so that nobody learns what lies elsewhere. The error has no param.
std::variant<std::string, ApiError> read_image_file(std::string_view url, const std::string& directory,
                                                    int64_t max_bytes, const TakeBytes& take = {});

}  // namespace uhd
