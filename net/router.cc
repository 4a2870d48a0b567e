#include "net/router.h"

#include "net/api_error.h"

namespace uhd {

bool Router::Route::matches(std::string_view asked) const {
  return path.ends_with('/') ? asked.size() > path.size() && asked.starts_with(path) : asked == path;
}

void Router::add(std::string method, std::string path, Handler handler) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler)});
}

Reply Router::handle(const HttpRequest& request) const {
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allowed;
  for (const Route& route : routes_) {
    if (!route.matches(request.path)) continue;
    if (route.method == method) return route.handler(request);
    allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  if (allowed.empty()) return error_response({404, "There is nothing at this path.", "", "not_found"});
  HttpResponse response =
      error_response({405, "This path takes another method: " + allowed + ".", "", "method_not_allowed"});
  response.headers.emplace_back("Allow", allowed);
  return response;
}

std::string_view Router::route_of(std::string_view path) const {
  for (const Route& route : routes_) {
    if (route.matches(path)) return route.path;
  }
  return "other";
}

}  // namespace uhd
