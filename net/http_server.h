// The HTTP server: a listener, its connections, and the threads that serve them.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "net/options.h"

namespace uhd {

// Usage: construct (binds, so that a busy port is known before a model is loaded), start, drain, wait until
// idle, stop. All calls from one thread but for idle() and drain(), which are thread-safe. The engine must
// outlive stop(), and must not outlive use of requests that are still running: cancel comes at stop.
class HttpServer {
 public:
  // An address that cannot be listened on is an Error that names it.
  explicit HttpServer(const NetOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start(Engine& engine);
  int port() const;         // the one chosen, when 0 was asked
  std::string url() const;  // "http://127.0.0.1:8080"
  void drain();             // new completions get 503; idle connections are closed
  bool idle() const;        // no request is being answered
  void stop();              // closes every connection, cancelling what runs; ends the threads

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
