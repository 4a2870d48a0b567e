#include "net/metrics_page.h"

#include <sstream>

namespace uhd {
namespace {

std::string_view name_of(Readiness readiness) {
  switch (readiness) {
    case Readiness::starting:
      return "starting";
    case Readiness::ready:
      return "ready";
    case Readiness::text_only:
      return "text_only";
    case Readiness::stalled:
      return "stalled";
    case Readiness::draining:
      return "draining";
  }
  return "stalled";
}

void metric(std::ostream& out, std::string_view name, std::string_view kind, std::string_view help) {
  out << "# HELP " << name << ' ' << help << "\n# TYPE " << name << ' ' << kind << '\n';
}

void single(std::ostream& out, std::string_view name, std::string_view kind, std::string_view help,
            int64_t value) {
  metric(out, name, kind, help);
  out << name << ' ' << value << '\n';
}

}  // namespace

void HttpMetrics::count(const std::string& route, int status) {
  std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
}

std::string HttpMetrics::text(int64_t body_bytes) const {
  std::ostringstream out;
  single(out, "uhd_http_connections", "gauge", "Open connections.", connections);
  single(out, "uhd_http_refused_connections_total", "counter", "Connections over the limit.",
         refused_connections);
  single(out, "uhd_http_disconnected_clients_total", "counter",
         "Clients that left before their answer was complete.", disconnected_clients);
  single(out, "uhd_http_body_bytes", "gauge",
         "Bytes held of request bodies, and of images until they are cut.", body_bytes);
  metric(out, "uhd_http_requests_total", "counter", "Requests answered, by route and status.");
  std::lock_guard lock(mutex_);
  for (const auto& [key, count] : requests_) {
    out << "uhd_http_requests_total{route=\"" << key.first << "\",status=\"" << key.second << "\"} " << count
        << '\n';
  }
  return out.str();
}

HttpResponse metrics_page(const Engine& engine, const HttpMetrics& http, int64_t body_bytes) {
  return {.body = engine.metrics_text() + http.text(body_bytes),
          .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

HttpResponse health_page() { return {.body = R"({"status":"ok"})"}; }

HttpResponse ready_page(const EngineStats& stats) {
  const bool ready = stats.readiness == Readiness::ready || stats.readiness == Readiness::text_only;
  std::ostringstream body;
  body << R"({"status":")" << name_of(stats.readiness) << R"(","running":)" << stats.running
       << R"(,"waiting":)" << stats.waiting << R"(,"free_pages":)" << stats.free_pages << R"(,"total_pages":)"
       << stats.total_pages << '}';
  HttpResponse response{.status = ready ? 200 : 503, .body = body.str()};
  if (!ready) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace uhd
