#include "net/router.h"

#include "base/edit_distance.h"
#include "base/error.h"
#include "net/api_error.h"
#include "net/quoted.h"

namespace uhd {

bool Router::Route::matches(std::string_view asked) const {
  const bool folder = path.size() > 1 && path.ends_with('/');
  return folder ? asked.size() > path.size() && asked.starts_with(path) : asked == path;
}

void Router::add(std::string method, std::string path, Handler handler) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler)});
}

Reply Router::handle(const HttpRequest& request) const {
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allowed = request.path == "*" ? "GET, HEAD, POST, OPTIONS" : "";
  for (const Route& route : routes_) {
    if (!route.matches(request.path)) continue;
    if (route.method == method) return route.handler(request);
    allowed += (allowed.empty() ? "" : ", ") + (route.method == "GET" ? "GET, HEAD" : route.method);
  }
  if (allowed.empty()) return not_found(request.path);
  HttpResponse response{.status = 204};
  if (method != "OPTIONS") {
    response =
        error_response({405, "This path takes another method: " + allowed + ".", "", "method_not_allowed"});
  }
  response.headers.emplace_back("Allow", allowed);
  return response;
}

HttpResponse Router::not_found(std::string_view path) const {
  const Route* nearest = nullptr;
  size_t least = 0;
  path = path.substr(0, 256);
  for (const Route& route : routes_) {
    if (route.path.starts_with("/page") || route.path == "/") continue;  // nobody types these
    const size_t distance = edit_distance(path, route.path);
    if (nearest != nullptr && distance >= least) continue;
    nearest = &route;
    least = distance;
  }
  std::string text = message("There is nothing at '", quoted(path), "'");
  if (nearest != nullptr) text += message("; the nearest is ", nearest->method, ' ', nearest->path);
  return error_response({404, text + ".", "", "not_found"});
}

std::string_view Router::route_of(std::string_view path) const {
  for (const Route& route : routes_) {
    if (route.matches(path)) return route.path;
  }
  return kNoRoute;
}

}  // namespace uhd
