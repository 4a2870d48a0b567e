// Writes the header of an answer as text.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uhd {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

// A Framing says how the connection stands: what the request's version allows, and whether another request
// may follow.
struct Framing {
  unsigned version = 11;
  bool keep_alive = true;
};

// Returns the header, with the length if there is one; without a length the body is chunked if the version
// allows it.
std::string response_head(int status, const Framing& framing, const HeaderFields& fields,
                          std::optional<size_t> length);

}  // namespace uhd
