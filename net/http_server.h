// The HTTP server consists of a listener, its connections, and the threads that serve them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "net/options.h"

namespace uhd {

// Usage: construct (it binds, so that a busy port is known before a model is loaded), open, start, drain,
// wait until idle, stop. All calls come from one thread, except idle(), drain() and reload(), which are
// thread-safe. The engine must outlive stop(): stop() cancels the requests that still run.
class HttpServer {
 public:
  // An address that cannot be listened on is an Error that names it.
  explicit HttpServer(const NetOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Answers from now on: that the process lives, and that the model is being loaded. `loading` says how far,
  // on any thread.
  void open(std::function<std::string()> loading);
  // Serves the engine; opens the server if it is not open. `price` tells the arithmetic of plans; without it
  // they do not say it.
  void start(Engine& engine, PlanPrice price = {});
  int port() const;         // the chosen one, if 0 was asked
  std::string url() const;  // "http://127.0.0.1:8080"
  // Reads API keys, quotas and the certificate again. If one cannot be read, the old one holds, and a line of
  // the log says so. Thread-safe.
  void reload();
  void drain();       // makes new completions get 503, and closes idle connections
  bool idle() const;  // true if no request is being answered
  void stop();        // closes every connection, cancels running requests, and ends the threads

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
