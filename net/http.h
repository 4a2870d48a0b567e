// A request and its answer as plain values: what handlers see instead of sockets.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace uhd {

struct HttpRequest {
  std::string method;                          // upper case
  std::string path;                            // without the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string id;      // x-request-id: the client's, or ours
  std::string client;  // address
  std::string tenant;  // of the API key; empty without keys
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
