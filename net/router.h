// Finds the handler of a method and a path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace uhd {

// Handlers of GET run on an I/O thread and only look; handlers of POST run on an intake thread.
using Handler = std::function<Reply(const HttpRequest&)>;

// The name that route_of() returns for a path that no route has.
inline constexpr std::string_view kNoRoute = "other";

class Router {
 public:
  // Adds a handler. A path that ends in '/' takes everything below it, but for "/", which is itself alone.
  void add(std::string method, std::string path, Handler handler);
  // Returns the handler's reply. An unknown path gets 404, which names the nearest one; a known path with
  // another method gets 405 with Allow. HEAD is answered as GET is (the session sends no body), and OPTIONS
  // with the allowed methods.
  Reply handle(const HttpRequest& request) const;
  // Returns the registered path that matches, for metrics, which need a bounded set of names. Returns
  // kNoRoute if none does.
  std::string_view route_of(std::string_view path) const;

 private:
  HttpResponse not_found(std::string_view path) const;

  struct Route {
    std::string method;
    std::string path;
    Handler handler;
    bool matches(std::string_view asked) const;
  };
  std::vector<Route> routes_;
};

}  // namespace uhd
