// Which web pages may use the server. Programs are told apart by API keys; this is about browsers, which run
// pages of strangers beside the user's own server: the check of Host stops a name that was made to point here
// (DNS rebinding), the check of Origin stops pages that post blindly, and the CORS headers open the server to
// those that the operator named.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"
#include "net/options.h"

namespace uhd {

// Whether a server that listens on this host is reached from its own machine only.
bool is_loopback_host(std::string_view host);

// Immutable.
class Access {
 public:
  explicit Access(const NetOptions& options);

  // The answer to a request that a browser should not have made, or to a preflight.
  std::optional<HttpResponse> answer(const HttpRequest& request) const;
  // Headers that every answer to this request carries.
  std::vector<std::pair<std::string, std::string>> headers(const HttpRequest& request) const;

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(const HttpRequest& request, std::string_view origin) const;
  bool listed(std::string_view origin) const;
  HttpResponse preflight(const HttpRequest& request) const;

  std::vector<std::string> origins_;  // lower case
  std::vector<std::string> hosts_;    // lower case
  bool check_hosts_;
  bool check_origins_;
};

}  // namespace uhd
