// The pages that observe the server: /metrics, /health, /ready.
#pragma once

#include <cstdint>

#include "engine/engine.h"
#include "net/http.h"
#include "net/http_metrics.h"

namespace uhd {

// `body_bytes`: as HttpMetrics::text takes it.
HttpResponse metrics_page(const Engine& engine, const HttpMetrics& http, int64_t body_bytes);
HttpResponse health_page();  // says that the process answers
// Says that the model loads, and by `state` how far it is.
HttpResponse loading_page(const std::string& state);
HttpResponse ready_page(
    const EngineStats& stats);  // 200 if the ranks answered a real step recently, else 503

}  // namespace uhd
