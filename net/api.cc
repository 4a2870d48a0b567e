#include "net/api.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <ctime>

#include "base/ascii.h"
#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/version.h"
#include "net/completion.h"
#include "net/metrics_page.h"
#include "net/openapi.h"
#include "net/page.h"
#include "net/quoted.h"

namespace uhd {
namespace {

std::shared_ptr<const ApiKeys> load_keys(const NetOptions& options) {
  if (options.api_keys_file.empty()) return std::make_shared<ApiKeys>();
  const std::filesystem::path file(options.api_keys_file);
  auto keys = std::make_shared<ApiKeys>(file);
  std::error_code ignored;
  const auto rights = std::filesystem::status(file, ignored).permissions();
  if (!ignored && (rights & std::filesystem::perms::others_all) != std::filesystem::perms::none) {
    log_warning("every user may read or change the API keys (chmod o= FILE)", "file", file.string());
  }
  return keys;
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

// Orchestrators ask these, and have no key.
bool is_probe(std::string_view path) {
  return path == "/health" || path == "/livez" || path == "/ready" || path == "/readyz";
}

constexpr double kLoadingRetry_s = 5;

bool works_while_loading(std::string_view path) {
  return is_probe(path) || path == "/version" || path == "/openapi.json";
}

HttpResponse version_page() {
  return {.body = boost::json::serialize(boost::json::object{{"version", version()}})};
}

// Says in a header which fields were left out.
HttpResponse with_warning(HttpResponse response, const std::string& warning) {
  if (!warning.empty()) response.headers.emplace_back(kWarningHeader, warning);
  return response;
}

struct HeldImage {
  std::shared_ptr<const std::string> bytes;
  std::unique_ptr<BodyBudget::Hold> hold;
};

// Holds on the bytes of files that are read for one call. They are refused where they find no room.
class FileHolds {
 public:
  FileHolds(BodyBudget& budget, std::string client) : budget_(budget), client_(std::move(client)) {}
  TakeBytes taker() {
    return [this](int64_t bytes) {
      auto hold = budget_.receive(client_, [] {});
      if (!hold->grow_to(bytes)) return false;
      hold->settle();  // nobody waits for more of it
      holds_.push_back(std::move(hold));
      return true;
    };
  }

 private:
  BodyBudget& budget_;
  const std::string client_;
  std::vector<std::unique_ptr<BodyBudget::Hold>> holds_;
};

}  // namespace

Api::Api(const NetOptions& options, std::function<std::string()> loading)
    : options_(options),
      loading_(std::move(loading)),
      access_(options),
      keys_(load_keys(options)),
      budget_(make_budget(options)),
      created_(std::time(nullptr)) {
  using Asked = const HttpRequest&;
  for (const char* path : {"/health", "/livez"})
    router_.add("GET", path, [](Asked) { return health_page(); });
  for (const char* path : {"/ready", "/readyz"}) {
    router_.add("GET", path, [this](Asked) { return ready(); });
  }
  router_.add("GET", "/version", [](Asked) { return version_page(); });
  router_.add("GET", "/openapi.json", [this](Asked) {
    const Engine* engine = engine_;
    return HttpResponse{.body = openapi_json(options_, engine == nullptr ? nullptr : &engine->model())};
  });
  router_.add("GET", "/metrics", [this](Asked) { return metrics_page(engine(), metrics_, budget_->held()); });
  router_.add("GET", "/v1/models", [this](Asked r) { return models(r); });
  router_.add("GET", "/v1/models/", [this](Asked r) { return models(r); });
  router_.add("POST", "/v1/chat/completions", [this](Asked r) { return complete(Endpoint::chat, r); });
  router_.add("POST", "/v1/completions", [this](Asked r) { return complete(Endpoint::completions, r); });
  router_.add("POST", "/v1/responses", [this](Asked r) { return complete(Endpoint::responses, r); });
  router_.add("POST", "/v1/plan", [this](Asked r) { return plan(r); });
  router_.add("POST", "/tokenize", [this](Asked r) { return tokenize(r); });
  router_.add("POST", "/detokenize", [this](Asked r) { return detokenize(r); });
  if (options_.page) add_page(router_, options_.samples);
}

void Api::reload_keys() {
  auto read = load_keys(options_);
  const std::lock_guard lock(keys_mutex_);
  keys_ = std::move(read);
}

std::shared_ptr<const ApiKeys> Api::keys() const {
  const std::lock_guard lock(keys_mutex_);
  return keys_;
}

void Api::serve(Engine& engine, PlanPrice price) {
  price_ = std::move(price);
  engine_ = &engine;
}

Reply Api::handle(const HttpRequest& request) {
  const std::string_view route = router_.route_of(request.path);
  if (engine_ == nullptr && route != kNoRoute && !works_while_loading(route)) {
    return error_response(
        {503, message("The model is being loaded: ", loading_(), '.'), "", "loading", kLoadingRetry_s});
  }
  return router_.handle(request);
}

HttpResponse Api::ready() const {
  return engine_ == nullptr ? loading_page(loading_()) : ready_page(engine().stats());
}

std::optional<HttpResponse> Api::refuse(HttpRequest& request) const {
  if (auto answer = access_.answer(request)) return answer;
  if (auto refused = refuse_media(request)) return refused;
  const std::shared_ptr<const ApiKeys> current = keys();
  const bool open_metrics = options_.open_metrics && request.path == "/metrics";
  if (!current->asked() || open_metrics || is_probe(request.path) || is_page(request.path))
    return std::nullopt;
  const auto tenant = current->tenant(request.header("authorization"));
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

// The sooner of the server's limit and the client's.
std::optional<TimePoint> Api::deadline_of(const Call& call) const {
  double limit = INFINITY;
  for (const double given : {options_.request_timeout_s, call.timeout_s}) {
    if (given > 0) limit = std::min(limit, given);
  }
  if (std::isinf(limit)) return std::nullopt;
  return Clock::now() + from_seconds(limit);
}

std::variant<Call, HttpResponse> Api::read_call(Endpoint endpoint, const HttpRequest& request) const {
  if (draining_) return error_response({503, "The server is shutting down.", "", "shutting_down", 5});
  FileHolds files(*budget_, request.sender());  // until hold_images() counts them with the others
  auto parsed = parse_call(endpoint, request.body, engine().model(), options_, {files.taker(), request.stop});
  if (const auto* error = std::get_if<ApiError>(&parsed)) return body_error(*error, request);
  Call& call = std::get<Call>(parsed);
  const std::string& client = request.sender();
  const std::shared_ptr<const ApiKeys> current = keys();
  for (Request& r : call.requests) {
    r.tenant = request.tenant;
    r.quota = current->quota(request.tenant);
    r.client = client;
    r.trace_id = request.id;
    r.trace = request.trace;
    r.first_byte = request.first_byte;
    r.last_byte = request.last_byte;
    r.deadline = deadline_of(call);
  }
  hold_images(request, call);
  return std::move(call);
}

Reply Api::complete(Endpoint endpoint, const HttpRequest& request) {
  auto read = read_call(endpoint, request);
  if (auto* response = std::get_if<HttpResponse>(&read)) return std::move(*response);
  auto ticket = take_ticket(request.sender());
  if (ticket.use_count() == 0) return error_response(no_ticket());
  const std::string prefix = endpoint == Endpoint::chat          ? "chatcmpl-"
                             : endpoint == Endpoint::completions ? "cmpl-"
                                                                 : "";  // responses name their parts by it
  const std::string id = prefix + request.id;
  return std::make_shared<Completion>(engine(), std::get<Call>(std::move(read)), id, std::time(nullptr),
                                      std::move(ticket));
}

// Runs nothing and takes nothing but the thread that it is on, for as long as the engine's thread needs to
// look at its caches, or half a second. A call that no time would make right gets its error as the answer.
Reply Api::plan(const HttpRequest& request) const {
  const auto read = read_call(Endpoint::plan, request);
  if (const auto* response = std::get_if<HttpResponse>(&read)) return *response;
  const auto planned = engine().plan(std::get<Call>(read).requests.front());
  const FieldPlaces& places = std::get<Call>(read).places;
  if (const auto* failure = std::get_if<Failure>(&planned))
    return error_response(api_error(*failure, places));
  const auto& plan = std::get<RequestPlan>(planned);
  std::optional<RequestCost> cost;
  if (price_) cost = price_(plan);
  std::optional<ApiError> refusal;
  if (plan.refusal) refusal = api_error(*plan.refusal, places);
  if (!has_ticket(request.sender())) refusal = no_ticket();
  return with_warning({.body = plan_json(plan, engine().model(), cost, refusal)},
                      std::get<Call>(read).warning);
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
  const ModelInfo& model = engine().model();
  if (!request.path.starts_with(kBelow)) return HttpResponse{.body = models_json(model, created_)};
  const std::string name = request.path.substr(kBelow.size());
  const bool known =
      name == model.id || std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end();
  if (known) return HttpResponse{.body = model_json(model, name, created_)};
  return error_response({404, "The model does not exist here.", "model", "model_not_found"});
}

// A conversation is laid out as for an answer; -1 stands for each token of an image.
std::variant<std::vector<int32_t>, Failure> Api::ids_of(const TokenizeCall& call) const {
  if (!call.conversation) return engine().tokenize(call.text, call.add_special);
  return engine().lay_out(*call.conversation);
}

Reply Api::tokenize(const HttpRequest& request) const {
  FileHolds files(*budget_, request.sender());
  const auto parsed = parse_tokenize(request.body, engine().model(), options_, {files.taker(), request.stop});
  if (const auto* error = std::get_if<ApiError>(&parsed)) return body_error(*error, request);
  const TokenizeCall& call = std::get<TokenizeCall>(parsed);
  const auto found = ids_of(call);
  if (const auto* failure = std::get_if<Failure>(&found)) {
    return error_response(api_error(*failure, call.places));
  }
  const auto& ids = std::get<std::vector<int32_t>>(found);
  boost::json::object body{{"count", ids.size()},
                           {"max_model_len", engine().model().context_length},
                           {"tokens", boost::json::array(ids.begin(), ids.end())}};
  if (call.with_texts) {
    boost::json::array texts;
    for (const int32_t id : ids) {
      texts.emplace_back(id < 0 ? "" : repair_utf8(engine().bytes_of_token(id), Replacement::per_byte));
    }
    body["token_strs"] = std::move(texts);
  }
  return with_warning({.body = boost::json::serialize(body)}, call.warning);
}

Reply Api::detokenize(const HttpRequest& request) const {
  const auto parsed = parse_detokenize(request.body, engine().model(), options_);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return body_error(*error, request);
  const DetokenizeCall& call = std::get<DetokenizeCall>(parsed);
  const boost::json::object body{{"prompt", engine().detokenize(call.ids)}};
  return with_warning({.body = boost::json::serialize(body)}, call.warning);
}

}  // namespace uhd
