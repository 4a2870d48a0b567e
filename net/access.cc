#include "net/access.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/error.h"
#include "net/api_error.h"
#include "net/quoted.h"

namespace uhd {
namespace {

using HeaderPairs = std::vector<std::pair<std::string, std::string>>;

// "[::1]:8080" and "localhost:8080" without the port and brackets, in lower case.
std::string name_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    return lower_ascii(authority.substr(1, std::min(authority.find(']'), authority.size()) - 1));
  }
  std::string name = lower_ascii(authority.substr(0, authority.find(':')));
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_address(std::string_view name) {
  if (name.find(':') != std::string_view::npos) return true;  // IPv6: no name holds a colon
  return !name.empty() && name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// Names that no stranger can make point here: without a dot, or in zones that the public DNS does not have.
bool is_local_name(std::string_view name) {
  if (name.find('.') == std::string_view::npos) return true;
  for (const std::string_view zone : {".localhost", ".local", ".internal"}) {
    if (name.ends_with(zone)) return true;
  }
  return false;
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end() ||
         std::find(list.begin(), list.end(), "*") != list.end();
}

bool changes_nothing(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

// Names of headers as a preflight lists them, and nothing that could end a header of ours.
bool is_header_list(std::string_view text) {
  return text.size() <= 4096 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                  c == '_' || c == ',' || c == ' ';
         });
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  const std::string name = lower_ascii(host);
  return name == "localhost" || name.ends_with(".localhost") || name == "::1" || name.starts_with("127.");
}

Access::Access(const NetOptions& options)
    : origins_(split_list(lower_ascii(options.cors_origin))),
      hosts_(split_list(lower_ascii(options.allowed_hosts))),
      check_hosts_(options.api_keys_file.empty() && (is_loopback_host(options.host) || !hosts_.empty())),
      check_origins_(options.api_keys_file.empty()) {
  hosts_.push_back(name_of(options.host));
  for (std::string& origin : origins_) {
    while (origin.ends_with('/')) origin.pop_back();
  }
}

bool Access::host_allowed(std::string_view host) const {
  if (!check_hosts_ || host.empty()) return true;
  const std::string name = name_of(host);
  return is_address(name) || is_local_name(name) || contains(hosts_, name);
}

bool Access::listed(std::string_view origin) const { return contains(origins_, lower_ascii(origin)); }

bool Access::origin_allowed(const HttpRequest& request, std::string_view origin) const {
  if (!check_origins_ || listed(origin)) return true;
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos &&
         lower_ascii(origin.substr(scheme + 3)) == lower_ascii(request.header("host"));
}

std::optional<HttpResponse> Access::answer(const HttpRequest& request) const {
  const std::string_view host = request.header("host");
  if (request.path != "/health" && !host_allowed(host)) {
    return error_response({403,
                           message("This server is not called '", quoted(host),
                                   "'; net.allowed_hosts names the hosts that it answers to."),
                           "", "host_not_allowed"});
  }
  const std::string_view origin = request.header("origin");
  if (request.method == "OPTIONS" && !origins_.empty()) {
    if (!origin.empty() && !listed(origin)) {
      return error_response({403, "Web pages of this origin may not use this server (net.cors_origin).", "",
                             "origin_not_allowed"});
    }
    return preflight(request);
  }
  if (!origin.empty() && !changes_nothing(request.method) && !origin_allowed(request, origin)) {
    return error_response({403,
                           message("Web pages of '", quoted(origin),
                                   "' may not use this server; net.cors_origin names those that may."),
                           "", "origin_not_allowed"});
  }
  return std::nullopt;
}

HttpResponse Access::preflight(const HttpRequest& request) const {
  HttpResponse response{.status = 204};
  const std::string_view asked = request.header("access-control-request-headers");
  const bool named = !asked.empty() && is_header_list(asked);
  response.headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"},
                      {"Access-Control-Allow-Headers",
                       named ? std::string(asked) : std::string("Authorization, Content-Type, X-Request-Id")},
                      {"Access-Control-Max-Age", "600"}};
  if (request.header("access-control-request-private-network") == "true") {
    response.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  return response;
}

HeaderPairs Access::headers(const HttpRequest& request) const {
  if (origins_.empty()) return {};
  HeaderPairs fields;
  if (contains(origins_, "*")) {
    fields.emplace_back("Access-Control-Allow-Origin", "*");
  } else {
    const std::string_view origin = request.header("origin");
    if (listed(origin)) {
      fields.emplace_back("Access-Control-Allow-Origin", std::string(origin));
    } else if (origins_.size() == 1) {
      fields.emplace_back("Access-Control-Allow-Origin", origins_.front());
    }
    fields.emplace_back("Vary", request.method == "OPTIONS"
                                    ? "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
                                    : "Origin");
  }
  fields.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
  return fields;
}

}  // namespace uhd
