#include "net/http_session.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>
#include <stop_token>

#include "base/ascii.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/client_watch.h"
#include "net/completion_answer.h"
#include "net/request_parser.h"
#include "net/response_head.h"
#include "net/target.h"
#include "net/trace_parent.h"
#include "net/wire.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
// clang-tidy 14 does not see uses within a co_await.
using asio::experimental::awaitable_operators::operator||;  // NOLINT(misc-unused-using-decls)

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kSmallBody = 256 << 10;
constexpr int64_t kMostLingerBytes = 256 << 20;  // read and dropped after an early refusal
constexpr double kLingerSeconds = 5;

std::string new_request_id() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  const uint64_t value = generator();
  return Fingerprint{value, generator()}.hex();
}

bool is_plain_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

// Counts one for as long as it lives.
class Counted {
 public:
  explicit Counted(std::atomic<int>& counter) : counter_(counter) { ++counter_; }
  ~Counted() { --counter_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int>& counter_;
};

constexpr int kClientLeft = 499;  // as nginx calls it: nobody waits for the answer
constexpr size_t kKeyDigits = 8;  // of a key's digest, which name it in the log

struct AnswerStatus {
  int status = 200;
  std::string code;
};

class Session final : public HttpSession, public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<asio::io_context> io, AcceptedConnection connection, SessionContext& context,
          std::function<void()> ended)
      : io_(std::move(io)),
        wire_(*io_, connection.socket, connection.family, std::move(connection.tls)),
        context_(context),
        options_(context.options),
        ended_(std::move(ended)),
        client_(std::move(connection.client)),
        place_(std::move(connection.place)) {}

  void start() {
    asio::co_spawn(
        wire_.executor(), [self = shared_from_this()] { return self->run(); }, asio::detached);
  }

  void close_when_idle() override {
    asio::post(wire_.executor(), [self = shared_from_this()] {
      self->last_ = true;
      // A connection that has not asked anything yet may have its first request on the way; a request that
      // has come already, but was not read, is still answered.
      if (self->phase_ == Phase::idle && self->asked_ && !self->wire_.has_more()) self->wire_.interrupt();
    });
  }

  void close() override {
    asio::post(wire_.executor(), [self = shared_from_this()] {
      self->last_ = true;
      self->wire_.close();
      self->left_.request_stop();
      if (self->answer_ != nullptr) self->answer_->stop();
    });
  }

  void give_way() override {
    asio::post(wire_.executor(), [self = shared_from_this()] {
      if (self->place_ == nullptr) return;
      const bool has_request = self->phase_ == Phase::idle && self->wire_.has_more();
      if (self->phase_ == Phase::working || has_request) return self->place_->work();
      self->wire_.interrupt();
    });
  }

 private:
  // A Phase says what the connection waits for.
  enum class Phase : uint8_t { idle, header, body, working };

  void enter(Phase phase) {
    phase_ = phase;
    if (phase != Phase::working) return place_->wait_for_client();
    place_->work();
    wire_.resume();  // it was asked to give way, but its request has come
  }

  Task<void> run() {
    try {
      enter(Phase::header);
      const bool met = co_await wire_.meet(Clock::now() + from_seconds(options_.header_timeout_s));
      while (met && (!last_ || !asked_)) {
        const bool came = co_await wait_for_request();
        if (!came) break;
        const bool more = co_await serve_request();
        if (!more) break;
      }
      co_await wire_.close_write();
      if (linger_) co_await linger();
    } catch (const std::exception& e) {
      log_debug("connection ended", "client", client_, "why", e.what());
    }
    wire_.close();
    place_.reset();
    ended_();
  }

  // Returns false when the client has closed, has been idle for too long, or another one needs the place.
  Task<bool> wait_for_request() {
    const TimePoint latest = Clock::now() + from_seconds(options_.idle_timeout_s);
    while (skip_empty_lines(), wire_.unread().empty()) {
      enter(Phase::idle);
      const Wire::Got got = co_await wire_.read(4096, latest);
      if (got != Wire::Got::bytes) co_return false;
    }
    co_return true;
  }

  // They are no part of a request (RFC 9112, 2.2): some clients send one behind a body.
  void skip_empty_lines() {
    const std::string_view unread = wire_.unread();
    wire_.consume(std::min(unread.find_first_not_of("\r\n"), unread.size()));
  }

  // Returns true when the connection may carry another request.
  Task<bool> serve_request() {
    const TimePoint began = Clock::now();
    asked_ = true;
    RequestParser parser(options_.max_header_bytes, options_.max_body_bytes);
    enter(Phase::header);
    std::optional<ApiError> broken = co_await receive_header(parser);
    enter(Phase::working);
    const Counted answering(context_.answering);
    HttpRequest request = take_header(parser);
    request.first_byte = began;
    framing_ = {parser.version(), parser.keep_alive() && !last_};
    if (!broken && !parser.target()) {
      broken = ApiError{400, "The target of the request is not a path.", "", "bad_http"};
    }
    if (broken) co_return co_await refuse(request, *broken, began);
    if (auto refused = context_.api.refuse(request)) {
      linger_ = !parser.done();
      framing_.keep_alive = framing_.keep_alive && !linger_;
      co_return co_await respond(request, *refused, began);
    }
    if (!parser.done()) {
      broken = co_await receive_body(parser, request);
      request.body_bytes = parser.body_bytes();
      if (broken) co_return co_await refuse(request, *broken, began);
    }
    request.body_bytes = parser.body_bytes();
    request.body = parser.take_body();
    request.last_byte = Clock::now();
    co_return co_await answer(request, began);
  }

  HttpRequest take_header(const RequestParser& parser) const {
    HttpRequest request{.method = parser.method(), .headers = parser.headers()};
    if (const auto target = parser.target()) {
      request.path = target->path;
      if (!target->authority.empty()) request.headers["host"] = target->authority;
    }
    request.client = client_;
    request.stop = left_.get_token();
    const std::string_view id = request.header("x-request-id");
    request.id = is_plain_id(id) ? std::string(id) : new_request_id();
    request.trace = parse_trace_parent(request.header("traceparent"));
    return request;
  }

  // Returns nothing when the header is complete, and an error without a status if nobody waits for an answer.
  Task<std::optional<ApiError>> receive_header(RequestParser& parser) {
    const TimePoint latest = Clock::now() + from_seconds(options_.header_timeout_s);
    for (;;) {
      wire_.consume(parser.put_header(wire_.unread()));
      if (parser.error()) co_return parser.error();
      if (parser.header_done()) co_return std::nullopt;
      const Wire::Got got = co_await wire_.read(kReadBytes, latest);
      if (got != Wire::Got::bytes) co_return stopped(got, "header");
    }
  }

  // Does the same for the body, whose bytes are counted as they come.
  Task<std::optional<ApiError>> receive_body(RequestParser& parser, const HttpRequest& request) {
    if (parser.version() >= 11 && lower_ascii(request.header("expect")) == "100-continue") {
      const bool taken = co_await wire_.write("HTTP/1.1 100 Continue\r\n\r\n", options_.write_timeout_s);
      if (!taken) co_return stopped(Wire::Got::lost, "body");
    }
    enter(Phase::body);
    hold_ = context_.api.budget().receive(request.sender(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->give_way();
    });
    const TimePoint latest = Clock::now() + from_seconds(options_.body_timeout_s);
    for (;;) {
      wire_.consume(parser.put_body(wire_.unread()));
      if (parser.error()) co_return parser.error();
      if (!hold_->grow_to(parser.body_bytes())) co_return crowded();
      if (parser.done()) break;
      const TimePoint pause = Clock::now() + from_seconds(options_.body_pause_s);
      const Wire::Got got = co_await wire_.read(kReadBytes, std::min(latest, pause));
      if (got != Wire::Got::bytes) co_return stopped(got, "body");
      place_->wait_for_client();
    }
    hold_->settle();
    enter(Phase::working);
    co_return std::nullopt;
  }

  static ApiError crowded() {
    return {503, "The server holds too many large requests at the moment.", "", "overloaded", 1};
  }

  // Returns why a request did not come to its end.
  static ApiError stopped(Wire::Got got, std::string_view part) {
    switch (got) {
      case Wire::Got::late:
        return {408, message("The ", part, " of the request took too long."), "", "request_timeout"};
      case Wire::Got::interrupted:
        return crowded();
      case Wire::Got::end:
        return {400, message("The request ends within its ", part, "."), "", "incomplete_request"};
      default:
        return {0, "the connection was lost", "", ""};
    }
  }

  Task<bool> refuse(const HttpRequest& request, const ApiError& error, TimePoint began) {
    hold_.reset();
    framing_.keep_alive = false;
    if (error.status == 0) {  // nobody is there to read an answer
      if (!request.method.empty()) log_access(request, {kClientLeft, "client_left"}, began, nullptr);
      co_return false;
    }
    linger_ = true;
    const HttpResponse response = error_response(error);
    co_return co_await respond(request, response, began);
  }

  // Looks up what is known at once; work that grows with the body is done on an intake thread.
  Task<bool> answer(HttpRequest& request, TimePoint began) {
    asio::thread_pool& intake =
        request.body.size() <= kSmallBody ? context_.intake.small : context_.intake.large;
    Reply reply = HttpResponse{};
    if (request.method == "POST") {
      co_await handle_and_watch(intake, request, reply);
    } else {
      reply = handle(request);
    }
    request.body = std::string();
    std::unique_ptr<BodyBudget::Hold> hold = std::move(hold_);
    if (left_.stop_requested()) co_return has_left(request, began);
    if (const auto* response = std::get_if<HttpResponse>(&reply)) {
      hold.reset();
      co_return co_await respond(request, *response, began);
    }
    Completion& completion = *std::get<std::shared_ptr<Completion>>(reply);
    co_return co_await complete(request, completion, std::move(hold), intake, began);
  }

  // Only fetches of images stop for a client that left, so nothing is watched where there are none.
  Task<void> handle_and_watch(asio::thread_pool& intake, const HttpRequest& request, Reply& reply) {
    if (options_.image_hosts.empty()) {
      co_await handle_on(intake, request, reply);
    } else {
      co_await (handle_on(intake, request, reply) || tell_of_leaving());
    }
  }

  Task<void> handle_on(asio::thread_pool& intake, const HttpRequest& request, Reply& reply) {
    reply = co_await asio::co_spawn(intake, handle_there(request), asio::use_awaitable);
  }

  // Never returns: the handler uses what is the session's, and is waited for in any case.
  Task<void> tell_of_leaving() {
    ClientWatch watch(wire_, [this] {
      if (framing_.version >= 11) send_interim(wire_);
    });
    co_await watch.run();
    const asio::cancellation_state handled = co_await asio::this_coro::cancellation_state;
    if (handled.cancelled() == asio::cancellation_type::none) left_.request_stop();
    asio::steady_timer never(wire_.executor(), asio::steady_timer::time_point::max());
    co_await never.async_wait(asio::use_awaitable);
  }

  // This is a function of its own: GCC 12 destroys the captures of a lambda that is a coroutine once too
  // often.
  Task<Reply> handle_there(const HttpRequest& request) { co_return handle(request); }

  Reply handle(const HttpRequest& request) {
    try {
      return context_.api.handle(request);
    } catch (const std::exception& e) {
      log_error("request failed", "id", request.id, "path", request.path, "why", e.what());
      return error_response({500, "The server failed on this request.", "", "internal_error"});
    }
  }

  Task<bool> complete(const HttpRequest& request, Completion& completion,
                      std::unique_ptr<BodyBudget::Hold> hold, asio::thread_pool& intake, TimePoint began) {
    CompletionAnswer answer(io_, wire_, completion, options_, framing_.version >= 11,
                            [&] { return stream_head(request, completion); });
    answer_ = &answer;
    const CompletionAnswer::End end = co_await answer.run(intake, std::move(hold));
    answer_ = nullptr;
    if (answer.half_closed()) framing_.keep_alive = false;
    if (end == CompletionAnswer::End::streamed) {
      context_.api.count(request.path, 200);
      log_access(request, {200, code_of(completion)}, began, &completion);
      co_return framing_.keep_alive && !last_;
    }
    if (end != CompletionAnswer::End::left) {
      const HttpResponse response =
          end == CompletionAnswer::End::refused ? error_response(answer.refusal()) : completion.response();
      co_return co_await respond(request, response, began, &completion);
    }
    co_return has_left(request, began, &completion);
  }

  bool has_left(const HttpRequest& request, TimePoint began, const Completion* completion = nullptr) {
    context_.api.metrics().client_left();
    log_access(request, {kClientLeft, "client_left"}, began, completion);
    return false;
  }

  HeaderFields common_fields(const HttpRequest& request) const {
    HeaderFields fields = context_.api.access().headers(request);
    fields.emplace_back("x-request-id", request.id);
    return fields;
  }

  std::string stream_head(const HttpRequest& request, const Completion& completion) {
    if (last_ || context_.draining || framing_.version < 11) framing_.keep_alive = false;
    HeaderFields fields = common_fields(request);
    fields.emplace_back("Content-Type", "text/event-stream; charset=utf-8");
    fields.emplace_back("Cache-Control", "no-cache");
    fields.emplace_back("X-Accel-Buffering", "no");
    if (!completion.warning().empty()) fields.emplace_back(kWarningHeader, completion.warning());
    return response_head(200, framing_, fields, std::nullopt);
  }

  Task<bool> respond(const HttpRequest& request, const HttpResponse& response, TimePoint began,
                     const Completion* completion = nullptr) {
    if (last_ || context_.draining) framing_.keep_alive = false;
    HeaderFields fields = common_fields(request);
    fields.insert(fields.end(), response.headers.begin(), response.headers.end());
    std::optional<size_t> length;
    if (response.status != 204) {
      fields.emplace_back("Content-Type", response.content_type);
      length = response.body.size();
    }
    std::string bytes = response_head(response.status, framing_, fields, length);
    if (request.method != "HEAD") bytes += response.body;
    const bool written = co_await wire_.write(bytes, options_.write_timeout_s);
    context_.api.count(request.path, response.status);
    log_access(request, {response.status, response.error_code}, began, completion);
    co_return framing_.keep_alive&& written;
  }

  static std::string code_of(const Completion& completion) {
    return completion.failure() ? completion.failure()->code : "";
  }

  // One line for each request, whatever became of it. Those that only look are told if they fail.
  static void log_access(const HttpRequest& request, const AnswerStatus& outcome, TimePoint began,
                         const Completion* completion) {
    const bool looks = request.method != "POST" && outcome.status < 400;
    const LogLevel level = looks ? LogLevel::debug : LogLevel::info;
    if (!log_enabled(level)) return;
    LogLine line(log_format(), "answered");
    add_pairs(line, "id", request.id, "method", request.method, "path", request.path, "status",
              outcome.status, "code", outcome.code, "client", request.client, "key",
              request.tenant.substr(0, kKeyDigits), "bytes", request.body_bytes, "seconds",
              seconds(Clock::now() - began));
    if (!request.trace.id.empty()) add_pairs(line, "trace", request.trace.id);
    if (completion != nullptr) {
      const Usage usage = completion->usage();
      int slices = 0;
      for (const ImageReport& image : usage.images) slices += image.slices;
      add_pairs(line, "images", usage.images.size(), "slices", slices, "prompt", usage.prompt_tokens,
                "tokens", usage.completion_tokens, "queue", usage.times.queue, "ttft", usage.times.ttft,
                "total", usage.times.total);
    }
    write_log(level, line.text());
  }

  // Lets the client finish sending after an early refusal, so that it reads the answer instead of a reset.
  Task<void> linger() {
    enter(Phase::body);
    const TimePoint latest = Clock::now() + from_seconds(kLingerSeconds);
    for (int64_t bytes = 0; bytes < kMostLingerBytes;) {
      const Wire::Got got = co_await wire_.read(kReadBytes, latest);
      if (got != Wire::Got::bytes) co_return;
      bytes += static_cast<int64_t>(wire_.unread().size());
      wire_.consume(wire_.unread().size());
    }
  }

  const std::shared_ptr<asio::io_context> io_;
  Wire wire_;
  SessionContext& context_;
  const NetOptions& options_;
  const std::function<void()> ended_;
  const std::string client_;
  std::unique_ptr<Connections::Place> place_;
  std::unique_ptr<BodyBudget::Hold> hold_;  // of the body being received or read
  std::stop_source left_;                   // of the client, or the server closes: nobody waits
  CompletionAnswer* answer_ = nullptr;      // under way
  Framing framing_;
  Phase phase_ = Phase::idle;
  bool linger_ = false;
  bool asked_ = false;  // a request has begun
  bool last_ = false;   // no request after this one
};

}  // namespace

std::shared_ptr<HttpSession> start_session(const std::shared_ptr<asio::io_context>& io,
                                           AcceptedConnection connection, SessionContext& context,
                                           std::function<void()> ended) {
  auto session = std::make_shared<Session>(io, std::move(connection), context, std::move(ended));
  session->start();
  return session;
}

}  // namespace uhd
