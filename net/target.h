// The target of a request line: what is asked, and of whom.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace uhd {

struct Target {
  std::string path;       // percent-decoded, in plain form, without the query; "*" of OPTIONS *
  std::string authority;  // of "GET http://host:port/path": takes the place of the Host header
};

// Empty when it is neither a path, nor an absolute http URL, nor "*", or its escapes are broken.
std::optional<Target> parse_target(std::string_view target);

// What clients make of a base URL with a slash too many, or with "/v1" twice, is the path they mean:
// "//v1/v1//models/" is "/v1/models".
std::string plain_path(std::string_view path);

}  // namespace uhd
