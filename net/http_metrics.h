// Counters of the HTTP side, as Prometheus text. prometheus-cpp stays behind this header.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace uhd {

// Thread-safe.
class HttpMetrics {
 public:
  HttpMetrics();
  ~HttpMetrics();

  void answered(const std::string& route, int status);
  void connected();
  void disconnected();
  void connection_refused();  // the limit on connections was reached
  void client_left();         // a client left before its answer was complete

  // `body_bytes`: bytes of request bodies, and of images until they are cut, that are held now.
  std::string text(int64_t body_bytes) const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace uhd
