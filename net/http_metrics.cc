#include "net/http_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace uhd {

using prometheus::Counter;
using prometheus::Gauge;

struct HttpMetrics::Series {
  mutable prometheus::Registry registry;

  prometheus::Family<Counter>& counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Gauge& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }

  Gauge& connections = gauge("uhd_http_connections", "Open connections.");
  Counter& refused = counters("uhd_http_refused_connections_total", "Connections over the limit.").Add({});
  Counter& left =
      counters("uhd_http_disconnected_clients_total", "Clients that left before their answer was complete.")
          .Add({});
  Gauge& body_bytes =
      gauge("uhd_http_body_bytes", "Bytes held of request bodies, and of images until they are cut.");
  prometheus::Family<Counter>& requests =
      counters("uhd_http_requests_total", "Requests answered, by route and status.");
};

HttpMetrics::HttpMetrics() : series_(std::make_unique<Series>()) {}
HttpMetrics::~HttpMetrics() = default;

void HttpMetrics::answered(const std::string& route, int status) {
  series_->requests.Add({{"route", route}, {"status", std::to_string(status)}}).Increment();
}
void HttpMetrics::connected() { series_->connections.Increment(); }
void HttpMetrics::disconnected() { series_->connections.Decrement(); }
void HttpMetrics::connection_refused() { series_->refused.Increment(); }
void HttpMetrics::client_left() { series_->left.Increment(); }

std::string HttpMetrics::text(int64_t body_bytes) const {
  series_->body_bytes.Set(static_cast<double>(body_bytes));
  return prometheus::TextSerializer().Serialize(series_->registry.Collect());
}

}  // namespace uhd
