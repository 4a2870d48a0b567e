// Reads URLs of remote images, and the list of hosts: the list, a zero byte, the URL. A URL that is read has
// one form, which no reader of HTTP takes for anything else.
#include "net/remote_url.h"

#include <algorithm>

#include "tests/fuzz/targets.h"

namespace uhd {

bool fuzz_remote_url(std::string_view bytes) {
  const auto parts = parts_of(bytes, 2);
  const auto url = parse_remote_url(parts[1]);
  if (!url) return false;
  const auto graphic = [](char c) { return c > ' ' && c < 0x7f; };
  for (const std::string* text : {&url->host, &url->port, &url->target, &url->authority})
    must_hold(!text->empty() && std::ranges::all_of(*text, graphic), "a part of a URL would end its line");
  must_hold(url->target.starts_with('/'), "a target is no path");
  must_hold(url->host.find_first_of("@/\\?#%[]") == std::string::npos, "a host holds another part");
  const std::string scheme = url->tls ? "https://" : "http://";
  must_hold(parse_remote_url(scheme + url->authority + url->target) == url, "a URL has two readings");
  is_allowed_host(*url, parts[0]);
  must_hold(!is_allowed_host(*url, ""), "a host is allowed by no list");
  must_hold(is_allowed_host(*url, "a," + url->authority), "a host that is listed is not allowed");
  return true;
}

}  // namespace uhd
