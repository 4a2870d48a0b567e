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

}  // namespace

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
