// A request and its answer as plain values: what handlers see instead of sockets.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace uhd {

struct HttpRequest {
  std::string method;                          // upper case
  std::string path;                            // in plain form (net/target.h)
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string id;      // x-request-id: the client's, or ours
  std::string client;  // address; of IPv6 its network
  std::string tenant;  // of the API key; empty without keys

  // Empty when it is absent. The name in lower case.
  std::string_view header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
  // Who shares limits: all that a key sends, or an address.
  const std::string& sender() const { return tenant.empty() ? client : tenant; }
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
};

class Completion;

// Either known at once, or a completion whose events are still to come.
using Reply = std::variant<HttpResponse, std::shared_ptr<Completion>>;

}  // namespace uhd
