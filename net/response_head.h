// The header of an answer as text.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uhd {

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

// How the connection stands: what the request's version allows, and whether another request may follow.
struct Framing {
  unsigned version = 11;
  bool keep_alive = true;
};

// With a length, or chunked where there is none and the version allows it.
std::string response_head(int status, const Framing& framing, const HeaderFields& fields,
                          std::optional<size_t> length);

}  // namespace uhd
