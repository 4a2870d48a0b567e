// Reads the target of a request line: the path and the authority.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace uhd {

struct Target {
  std::string path;       // percent-decoded, in plain form, without the query; "*" for OPTIONS *
  std::string authority;  // host:port of "GET http://host:port/path"; it takes the place of the Host header
};

// Returns nothing if the text is neither a path, nor an absolute http URL, nor "*", or if its escapes are
// broken.
std::optional<Target> parse_target(std::string_view target);

// Returns the path that a client means. Clients write a base URL with a slash too many, or with "/v1" twice:
// "//v1/v1//models/" means "/v1/models".
std::string plain_path(std::string_view path);

}  // namespace uhd
