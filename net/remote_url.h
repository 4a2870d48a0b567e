// Reads http and https URLs of images, and holds them to the list of hosts that the server's owner allows.
// The connection is made from the parts that are read here: no other code parses the URL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace uhd {

struct RemoteUrl {
  bool tls = false;
  std::string host;       // lower case; an IPv6 address without brackets
  std::string port;       // digits
  std::string target;     // path and query, still encoded
  std::string authority;  // the value of the Host header

  bool operator==(const RemoteUrl&) const = default;
};

bool is_remote_url(std::string_view url);

// Returns nothing if the text is not a URL of http or https with a host, or is longer than 8 KiB, or has a
// user, a port of 0, or a host of other characters than letters, digits, dots and hyphens, or is no address
// in brackets.
std::optional<RemoteUrl> parse_remote_url(std::string_view url);

// Returns true if `hosts` has the URL's host: names separated by commas, each for the scheme's own port, or
// with a port behind a colon for that one. Names are compared whole.
bool is_allowed_host(const RemoteUrl& url, std::string_view hosts);

// Throws an Error that names what is no host, and so would never match.
void check_image_hosts(std::string_view hosts);

}  // namespace uhd
