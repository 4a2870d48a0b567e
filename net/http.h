// Represents a request and its answer as plain values: handlers see these instead of sockets.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/trace_context.h"

namespace uhd {

// The header of an answer that names the fields of its request that were left out.
inline constexpr std::string_view kWarningHeader = "X-Uhd-Warning";

struct HttpRequest {
  std::string method;                          // upper case
  std::string path;                            // a path in plain form (net/target.h)
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int64_t body_bytes = 0;  // received, whether the body is still here or not
  std::string id;          // x-request-id: the client's, or one of ours
  std::string client;      // its address; for IPv6 its network
  std::string tenant;      // the tenant of the API key; empty without keys
  TimePoint first_byte, last_byte;
  TraceContext trace;         // the trace that the client named
  std::stop_token stop = {};  // its client has left: nobody waits for the answer

  // Returns the header's value, or an empty text if it is absent. `name` is in lower case.
  std::string_view header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
  // Returns the name under which limits are shared: by everything that a key sends, or by an address.
  const std::string& sender() const { return tenant.empty() ? client : tenant; }
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string error_code;  // the code of an error, for the log
};

class Completion;

// A reply is either known at once, or a completion whose events are still to come.
using Reply = std::variant<HttpResponse, std::shared_ptr<Completion>>;

}  // namespace uhd
