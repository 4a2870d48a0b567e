// Counters of the HTTP side, and the pages that observe the server: /metrics, /health, /ready.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "net/http.h"

namespace uhd {

// Thread-safe.
class HttpMetrics {
 public:
  void count(const std::string& route, int status);
  std::string text(int64_t body_bytes) const;  // Prometheus

  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> refused_connections{0};
  std::atomic<int64_t> disconnected_clients{0};  // gone before their answer was complete

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> requests_;
};

// `body_bytes`: of requests, held now.
HttpResponse metrics_page(const Engine& engine, const HttpMetrics& http, int64_t body_bytes);
HttpResponse health_page();  // the process answers
HttpResponse ready_page(
    const EngineStats& stats);  // 200 when the ranks answered a real step recently, else 503

}  // namespace uhd
