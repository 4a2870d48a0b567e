// The routes of the server over an Engine. No sockets: a request value in, a reply out.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/engine.h"
#include "net/access.h"
#include "net/api_keys.h"
#include "net/body_budget.h"
#include "net/http.h"
#include "net/http_metrics.h"
#include "net/openai.h"
#include "net/options.h"
#include "net/router.h"

namespace uhd {

// Thread-safe after construction.
class Api {
 public:
  // Reads the API keys; an unreadable key file is an Error.
  Api(Engine& engine, const NetOptions& options);

  // Empty when the request may go on; fills in its tenant. Needs only path and headers: asked before a body
  // is read. The answer to a preflight is given here, too.
  std::optional<HttpResponse> refuse(HttpRequest& request) const;
  Reply handle(const HttpRequest& request) { return router_.handle(request); }
  void count(const std::string& path, int status) {
    metrics_.answered(std::string(router_.route_of(path)), status);
  }

  // New completions get 503 from now on.
  void drain() { draining_ = true; }
  HttpMetrics& metrics() { return metrics_; }
  const Access& access() const { return access_; }
  BodyBudget& budget() { return *budget_; }

 private:
  Reply complete(Endpoint endpoint, const HttpRequest& request);
  Reply models(const HttpRequest& request) const;
  Reply tokenize(const HttpRequest& request) const;
  // The bytes of images are counted until the engine lets them go.
  void hold_images(const HttpRequest& request, Call& call) const;
  Reply detokenize(const HttpRequest& request) const;
  // One running request of this client, given back when destroyed; null when it has too many.
  std::shared_ptr<void> take_ticket(const std::string& client);

  struct Running {
    std::mutex mutex;
    std::map<std::string, int> by_client;
  };

  Engine& engine_;
  const NetOptions options_;
  const Access access_;
  const ApiKeys keys_;
  const std::shared_ptr<BodyBudget> budget_;
  const int64_t created_;  // of the model, as /v1/models shows it: the start of the server
  Router router_;
  HttpMetrics metrics_;
  std::shared_ptr<Running> running_ = std::make_shared<Running>();
  std::atomic<bool> draining_{false};
};

}  // namespace uhd
