#include "net/api.h"

#include <boost/json.hpp>
#include <ctime>

#include "base/error.h"
#include "net/ascii.h"
#include "net/completion.h"
#include "net/metrics_page.h"
#include "net/quoted.h"

namespace uhd {
namespace {

ApiKeys load_keys(const NetOptions& options) {
  return options.api_keys_file.empty() ? ApiKeys() : ApiKeys(std::filesystem::path(options.api_keys_file));
}

std::shared_ptr<BodyBudget> make_budget(const NetOptions& options) {
  return std::make_shared<BodyBudget>(options.max_total_body_bytes,
                                      std::max(options.max_client_body_bytes, options.max_body_bytes));
}

// Bodies that this server cannot read, told by their headers.
std::optional<HttpResponse> refuse_media(const HttpRequest& request) {
  const auto unsupported = [](const auto&... text) {
    return error_response({415, message(text...), "", "unsupported_media_type"});
  };
  const std::string encoding = lower_ascii(request.header("content-encoding"));
  if (!encoding.empty() && encoding != "identity") {
    return unsupported("The body is compressed with '", quoted(encoding, 40),
                       "'; this server takes it without a Content-Encoding.");
  }
  const std::string_view type = request.header("content-type");
  if (lower_ascii(type).starts_with("multipart/")) {
    return unsupported("The body is '", quoted(type, 60), "'; this server takes application/json.");
  }
  const std::string transfer = lower_ascii(request.header("transfer-encoding"));
  if (!transfer.empty() && transfer != "chunked") {
    return error_response({501,
                           message("The transfer encoding '", quoted(transfer, 40), "' is not known here."),
                           "", "unsupported_encoding"});
  }
  return std::nullopt;
}

// A body that is no JSON was perhaps never meant to be.
HttpResponse body_error(ApiError error, const HttpRequest& request) {
  const std::string_view type = request.header("content-type");
  const bool other = !type.empty() && lower_ascii(type).find("json") == std::string::npos;
  if (error.code == "invalid_json" && other) {
    error.message += message(" Its Content-Type is '", quoted(type, 60), "'; application/json is taken.");
  }
  return error_response(error);
}

struct HeldImage {
  std::shared_ptr<const std::string> bytes;
  std::unique_ptr<BodyBudget::Hold> hold;
};

}  // namespace

Api::Api(Engine& engine, const NetOptions& options, PlanPrice price)
    : engine_(engine),
      options_(options),
      price_(std::move(price)),
      access_(options),
      keys_(load_keys(options)),
      budget_(make_budget(options)),
      created_(std::time(nullptr)) {
  using Asked = const HttpRequest&;
  router_.add("GET", "/health", [](Asked) { return health_page(); });
  router_.add("GET", "/ready", [this](Asked) { return ready_page(engine_.stats()); });
  router_.add("GET", "/metrics", [this](Asked) { return metrics_page(engine_, metrics_, budget_->held()); });
  router_.add("GET", "/v1/models", [this](Asked r) { return models(r); });
  router_.add("GET", "/v1/models/", [this](Asked r) { return models(r); });
  router_.add("POST", "/v1/chat/completions", [this](Asked r) { return complete(Endpoint::chat, r); });
  router_.add("POST", "/v1/completions", [this](Asked r) { return complete(Endpoint::completions, r); });
  router_.add("POST", "/v1/plan", [this](Asked r) { return plan(r); });
  router_.add("POST", "/tokenize", [this](Asked r) { return tokenize(r); });
  router_.add("POST", "/detokenize", [this](Asked r) { return detokenize(r); });
}

std::optional<HttpResponse> Api::refuse(HttpRequest& request) const {
  if (auto answer = access_.answer(request)) return answer;
  if (auto refused = refuse_media(request)) return refused;
  if (!keys_.asked() || request.path == "/health") return std::nullopt;
  const auto tenant = keys_.tenant(request.header("authorization"));
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

bool Api::has_ticket(const std::string& client) const {
  std::lock_guard lock(running_->mutex);
  const auto at = running_->by_client.find(client);
  return (at == running_->by_client.end() ? 0 : at->second) < options_.max_requests_per_client;
}

ApiError Api::no_ticket() const {
  return {429,
          message("More than ", options_.max_requests_per_client, " requests of this client are running."),
          "", "too_many_requests", 1};
}

std::variant<Call, HttpResponse> Api::read_call(Endpoint endpoint, const HttpRequest& request) const {
  if (draining_) return error_response({503, "The server is shutting down.", "", "shutting_down", 5});
  auto parsed = parse_call(endpoint, request.body, engine_.model(), options_);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return body_error(*error, request);
  Call& call = std::get<Call>(parsed);
  const std::string& client = request.sender();
  for (Request& r : call.requests) {
    r.tenant = request.tenant;
    r.client = client;
    r.trace_id = request.id;
    if (options_.request_timeout_s > 0) r.deadline = Clock::now() + from_seconds(options_.request_timeout_s);
  }
  hold_images(request, call);
  return std::move(call);
}

Reply Api::complete(Endpoint endpoint, const HttpRequest& request) {
  auto read = read_call(endpoint, request);
  if (auto* response = std::get_if<HttpResponse>(&read)) return std::move(*response);
  auto ticket = take_ticket(request.sender());
  if (ticket.use_count() == 0) return error_response(no_ticket());
  const std::string id = (endpoint == Endpoint::chat ? "chatcmpl-" : "cmpl-") + request.id;
  return std::make_shared<Completion>(engine_, std::get<Call>(std::move(read)), id, std::time(nullptr),
                                      std::move(ticket));
}

// Runs nothing and takes nothing but the thread that it is on. A call that no time would make right gets its
// error as the answer.
Reply Api::plan(const HttpRequest& request) const {
  const auto read = read_call(Endpoint::plan, request);
  if (const auto* response = std::get_if<HttpResponse>(&read)) return *response;
  const auto planned = engine_.plan(std::get<Call>(read).requests.front());
  if (const auto* failure = std::get_if<Failure>(&planned)) return error_response(api_error(*failure));
  const auto& plan = std::get<RequestPlan>(planned);
  std::optional<RequestCost> cost;
  if (price_) cost = price_(plan);
  std::optional<ApiError> refusal;
  if (plan.refusal) refusal = api_error(*plan.refusal);
  if (!has_ticket(request.sender())) refusal = no_ticket();
  return HttpResponse{.body = plan_json(plan, engine_.model(), cost, refusal)};
}

void Api::hold_images(const HttpRequest& request, Call& call) const {
  std::map<const std::string*, std::shared_ptr<const std::string>> held;  // choices share their images
  for (Request& r : call.requests) {
    for (Message& m : r.messages) {
      for (MessagePart& part : m.parts) {
        if (part.image == nullptr) continue;
        auto& image = held[part.image.get()];
        if (image == nullptr) {
          const auto size = static_cast<int64_t>(part.image->size());
          const auto holder =
              std::make_shared<HeldImage>(HeldImage{part.image, budget_->keep(request.sender(), size)});
          image = {holder, holder->bytes.get()};
        }
        part.image = image;
      }
    }
  }
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
  const auto call = parse_tokenize(request.body, options_);
  if (const auto* error = std::get_if<ApiError>(&call)) return body_error(*error, request);
  const auto& [text, add_special] = std::get<TokenizeCall>(call);
  const std::vector<int32_t> ids = engine_.tokenize(text, add_special);
  const boost::json::object body{{"count", ids.size()},
                                 {"max_model_len", engine_.model().context_length},
                                 {"tokens", boost::json::array(ids.begin(), ids.end())}};
  return HttpResponse{.body = boost::json::serialize(body)};
}

Reply Api::detokenize(const HttpRequest& request) const {
  const auto ids = parse_detokenize(request.body, engine_.model(), options_);
  if (const auto* error = std::get_if<ApiError>(&ids)) return body_error(*error, request);
  const boost::json::object body{{"prompt", engine_.detokenize(std::get<std::vector<int32_t>>(ids))}};
  return HttpResponse{.body = boost::json::serialize(body)};
}

}  // namespace uhd
