// Method and path to handler.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace uhd {

// Handlers of GET run on an I/O thread and only look; those of POST run on an intake thread.
using Handler = std::function<Reply(const HttpRequest&)>;

class Router {
 public:
  // A path that ends in '/' takes everything below it.
  void add(std::string method, std::string path, Handler handler);
  // The handler's reply; 404 for an unknown path, naming the nearest one; 405 with Allow for a known one
  // asked otherwise. HEAD is answered as GET is (the session sends no body), OPTIONS by what is allowed.
  Reply handle(const HttpRequest& request) const;
  // The registered path that matches, for metrics: a bounded set of names. "other" if none does.
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
