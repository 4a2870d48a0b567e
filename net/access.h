// Decides which web pages may use the server. API keys tell programs apart; this file is about browsers,
// which run pages of strangers beside the user's own server. The check of Host stops a name that was made to
// point here (DNS rebinding), the check of Origin stops pages that post blindly, and the CORS headers open
// the server to the pages that the operator named.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"
#include "net/options.h"

namespace uhd {

// Returns true if a server that listens on this host can be reached from its own machine only.
bool is_loopback_host(std::string_view host);

// An Access is immutable.
class Access {
 public:
  explicit Access(const NetOptions& options);

  // Returns the answer to a request that a browser should not have made, or to a preflight; nothing for other
  // requests.
  std::optional<HttpResponse> answer(const HttpRequest& request) const;
  // Returns the headers that every answer to this request carries.
  std::vector<std::pair<std::string, std::string>> headers(const HttpRequest& request) const;

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(const HttpRequest& request, std::string_view origin) const;
  bool listed(std::string_view origin) const;
  HttpResponse preflight(const HttpRequest& request) const;

  std::vector<std::string> origins_;  // names in lower case
  std::vector<std::string> hosts_;    // names in lower case
  bool check_hosts_;
  bool check_origins_;
};

}  // namespace uhd
