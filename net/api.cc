#include "net/api.h"

#include <boost/json.hpp>
#include <ctime>

#include "base/error.h"
#include "net/completion.h"

namespace uhd {
namespace {

ApiKeys load_keys(const NetOptions& options) {
  return options.api_keys_file.empty() ? ApiKeys() : ApiKeys(std::filesystem::path(options.api_keys_file));
}

}  // namespace

Api::Api(Engine& engine, const NetOptions& options)
    : engine_(engine), options_(options), keys_(load_keys(options)), created_(std::time(nullptr)) {
  using Asked = const HttpRequest&;
  router_.add("GET", "/health", [](Asked) { return health_page(); });
  router_.add("GET", "/ready", [this](Asked) { return ready_page(engine_.stats()); });
  router_.add("GET", "/metrics", [this](Asked) { return metrics_page(engine_, metrics_); });
  router_.add("GET", "/v1/models", [this](Asked r) { return models(r); });
  router_.add("GET", "/v1/models/", [this](Asked r) { return models(r); });
  router_.add("POST", "/v1/chat/completions", [this](Asked r) { return complete(Endpoint::chat, r); });
  router_.add("POST", "/v1/completions", [this](Asked r) { return complete(Endpoint::completions, r); });
  router_.add("POST", "/tokenize", [this](Asked r) { return tokenize(r); });
  router_.add("POST", "/detokenize", [this](Asked r) { return detokenize(r); });
}

std::optional<HttpResponse> Api::refuse(HttpRequest& request) const {
  if (request.method == "OPTIONS" && !options_.cors_origin.empty()) {
    return HttpResponse{
        .status = 204,
        .headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                    {"Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id"},
                    {"Access-Control-Max-Age", "600"}}};
  }
  if (!keys_.asked() || request.path == "/health") return std::nullopt;
  const auto header = request.headers.find("authorization");
  const auto tenant = keys_.tenant(header == request.headers.end() ? std::string_view() : header->second);
  if (!tenant) {
    HttpResponse response = error_response(
        {401, "A valid API key is needed: 'Authorization: Bearer KEY'.", "", "invalid_api_key"});
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  request.tenant = *tenant;
  return std::nullopt;
}

std::shared_ptr<void> Api::take_ticket(const std::string& client) {
  {
    std::lock_guard lock(running_->mutex);
    int& count = running_->by_client[client];
    if (count >= options_.max_requests_per_client) return nullptr;
    ++count;
  }
  return {nullptr, [running = running_, client](void*) {
            std::lock_guard lock(running->mutex);
            const auto at = running->by_client.find(client);
            if (--at->second == 0) running->by_client.erase(at);
          }};
}

Reply Api::complete(Endpoint endpoint, const HttpRequest& request) {
  if (draining_) return error_response({503, "The server is shutting down.", "", "shutting_down", 5});
  auto parsed = parse_call(endpoint, request.body, engine_.model(), options_);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return error_response(*error);
  Call& call = std::get<Call>(parsed);
  const std::string& client = request.tenant.empty() ? request.client : request.tenant;
  for (Request& r : call.requests) {
    r.tenant = request.tenant;
    r.client = client;
    r.trace_id = request.id;
    if (options_.request_timeout_s > 0) r.deadline = Clock::now() + from_seconds(options_.request_timeout_s);
  }
  auto ticket = take_ticket(client);
  if (ticket.use_count() == 0) {
    return error_response(
        {429,
         message("More than ", options_.max_requests_per_client, " requests of this client are running."), "",
         "too_many_requests", 1});
  }
  const std::string id = (endpoint == Endpoint::chat ? "chatcmpl-" : "cmpl-") + request.id;
  return std::make_shared<Completion>(engine_, std::move(call), id, std::time(nullptr), std::move(ticket));
}

Reply Api::models(const HttpRequest& request) const {
  constexpr std::string_view kBelow = "/v1/models/";
  const ModelInfo& model = engine_.model();
  if (!request.path.starts_with(kBelow)) return HttpResponse{.body = models_json(model, created_)};
  if (request.path.substr(kBelow.size()) == model.id)
    return HttpResponse{.body = model_json(model, created_)};
  return error_response({404, "The model does not exist here.", "model", "model_not_found"});
}

Reply Api::tokenize(const HttpRequest& request) const {
  const auto call = parse_tokenize(request.body);
  if (const auto* error = std::get_if<ApiError>(&call)) return error_response(*error);
  const auto& [text, add_special] = std::get<TokenizeCall>(call);
  const std::vector<int32_t> ids = engine_.tokenize(text, add_special);
  const boost::json::object body{{"count", ids.size()},
                                 {"max_model_len", engine_.model().context_length},
                                 {"tokens", boost::json::array(ids.begin(), ids.end())}};
  return HttpResponse{.body = boost::json::serialize(body)};
}

Reply Api::detokenize(const HttpRequest& request) const {
  const auto ids = parse_detokenize(request.body, engine_.model());
  if (const auto* error = std::get_if<ApiError>(&ids)) return error_response(*error);
  const boost::json::object body{{"prompt", engine_.detokenize(std::get<std::vector<int32_t>>(ids))}};
  return HttpResponse{.body = boost::json::serialize(body)};
}

}  // namespace uhd
