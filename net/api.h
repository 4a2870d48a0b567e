// Serves the routes of the server over an Engine. It knows no sockets: a request value goes in, a reply comes
// out.
#pragma once

#include <atomic>
#include <functional>
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

// An Api is thread-safe after construction.
class Api {
 public:
  // Reads the API keys; an unreadable key file is an Error. Until serve(), `loading` says what is being done,
  // and requests that need the model get 503.
  Api(const NetOptions& options, std::function<std::string()> loading);
  // The engine is there. Without a price, plans tell no arithmetic. Call it once.
  void serve(Engine& engine, PlanPrice price);

  // Returns nothing when the request may go on, and fills in its tenant. It needs only path and headers, so
  // it is called before a body is read. It also returns the answer to a preflight.
  std::optional<HttpResponse> refuse(HttpRequest& request) const;
  Reply handle(const HttpRequest& request);
  // Reads the API keys again. After an Error the old ones hold.
  void reload_keys();
  void count(const std::string& path, int status) {
    metrics_.answered(std::string(router_.route_of(path)), status);
  }

  // Makes new completions get 503 from now on.
  void drain() { draining_ = true; }
  HttpMetrics& metrics() { return metrics_; }
  const Access& access() const { return access_; }
  BodyBudget& budget() { return *budget_; }

 private:
  Engine& engine() const { return *engine_; }  // needs: serve() was called
  std::shared_ptr<const ApiKeys> keys() const;
  HttpResponse ready() const;
  Reply complete(Endpoint endpoint, const HttpRequest& request);
  Reply plan(const HttpRequest& request) const;
  // Reads a call, whose images count until the engine lets them go.
  std::optional<TimePoint> deadline_of(const Call& call) const;
  std::variant<Call, HttpResponse> read_call(Endpoint endpoint, const HttpRequest& request) const;
  Reply models(const HttpRequest& request) const;
  Reply tokenize(const HttpRequest& request) const;
  std::variant<std::vector<int32_t>, Failure> ids_of(const TokenizeCall& call) const;
  // Counts the bytes of images until the engine lets them go.
  void hold_images(const HttpRequest& request, Call& call) const;
  Reply detokenize(const HttpRequest& request) const;
  // Returns one running request of this client, which is given back when destroyed; null when the client has
  // too many.
  std::shared_ptr<void> take_ticket(const std::string& client);
  bool has_ticket(const std::string& client) const;
  ApiError no_ticket() const;

  struct Running {
    std::mutex mutex;
    std::map<std::string, int> by_client;
  };

  const NetOptions options_;
  const std::function<std::string()> loading_;
  PlanPrice price_;                       // written before the engine is there
  std::atomic<Engine*> engine_{nullptr};  // null while the model loads
  const Access access_;
  mutable std::mutex keys_mutex_;
  std::shared_ptr<const ApiKeys> keys_;  // never null; reload_keys() changes it
  const std::shared_ptr<BodyBudget> budget_;
  const int64_t created_;  // the creation time of the model as /v1/models shows it: the start of the server
  Router router_;
  HttpMetrics metrics_;
  std::shared_ptr<Running> running_ = std::make_shared<Running>();
  std::atomic<bool> draining_{false};
};

}  // namespace uhd
