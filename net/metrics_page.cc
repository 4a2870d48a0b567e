#include "net/metrics_page.h"

#include <boost/json.hpp>

#include "net/process_metrics.h"

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
  return {.body = engine.metrics_text() + http.text(body_bytes) + process_metrics(),
          .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

HttpResponse health_page() { return {.body = R"({"status":"ok"})"}; }

HttpResponse loading_page(const std::string& state) {
  HttpResponse response{.status = 503,
                        .body = boost::json::serialize(boost::json::object{
                            {"status", name_of(Readiness::starting)}, {"loading", state}})};
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse ready_page(const EngineStats& stats) {
  const bool ready = stats.readiness == Readiness::ready || stats.readiness == Readiness::text_only;
  HttpResponse response{
      .status = ready ? 200 : 503,
      .body = boost::json::serialize(boost::json::object{{"status", name_of(stats.readiness)},
                                                         {"running", stats.running},
                                                         {"waiting", stats.waiting},
                                                         {"free_pages", stats.free_pages},
                                                         {"total_pages", stats.total_pages}})};
  if (!ready) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace uhd
