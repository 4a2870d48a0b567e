#include "net/http_session.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/decode_view.hpp>
#include <random>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/completion.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
// clang-tidy 14 does not see uses within a co_await.
using asio::experimental::awaitable_operators::operator||;  // NOLINT(misc-unused-using-decls)
using Channel = asio::experimental::concurrent_channel<void(boost::system::error_code, ChoiceEvent)>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadAhead = 64 << 10;          // of requests that come before the answer to the last one
constexpr int64_t kMostLingerBytes = 256 << 20;  // read and dropped after an early refusal
constexpr double kLingerSeconds = 5;

// The one way from the engine's thread to a session: bounded, and wide enough for every event of the call, so
// that trying to send never fails while the session lives. Holds the io_context: the sink may be the last to
// let it go.
struct EventChannel {
  EventChannel(std::shared_ptr<asio::io_context> context, Channel made)
      : io(std::move(context)), channel(std::move(made)) {}
  std::shared_ptr<asio::io_context> io;
  Channel channel;
};

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

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string decoded_path(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  const auto encoded = boost::urls::make_pct_string_view(path);
  if (!encoded) return std::string(path);
  std::string plain;
  for (const char c : *(*encoded)) plain.push_back(c);
  return plain;
}

// Adds to a counter for as long as it lives.
template <class T>
class Counted {
 public:
  Counted(std::atomic<T>& counter, T amount) : counter_(counter), amount_(amount) { counter_ += amount_; }
  ~Counted() { counter_ -= amount_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void set(T amount) {
    counter_ += amount - amount_;
    amount_ = amount;
  }

 private:
  std::atomic<T>& counter_;
  T amount_;
};

class Session final : public HttpSession, public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<asio::io_context> io, int socket, bool v6, SessionContext& context,
          std::function<void()> ended)
      : io_(std::move(io)),
        stream_(tcp::socket(asio::make_strand(*io_), v6 ? tcp::v6() : tcp::v4(), socket)),
        buffer_(static_cast<size_t>(context.options.max_header_bytes) + kReadAhead),
        context_(context),
        options_(context.options),
        ended_(std::move(ended)) {
    beast::error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    const auto peer = stream_.socket().remote_endpoint(ignored);
    if (!ignored) client_ = peer.address().to_string();
  }

  void start() {
    asio::co_spawn(
        stream_.get_executor(), [self = shared_from_this()] { return self->run(); }, asio::detached);
  }

  void close_when_idle() override {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->last_ = true;
      // A connection that has not asked anything yet may have its first request on the way; a request that
      // has come already, but was not read, is still answered.
      beast::error_code ignored;
      const bool quiet = self->stream_.socket().available(ignored) == 0;
      if (self->idle_ && self->asked_ && quiet) self->stream_.close();
    });
  }

  void close() override {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->last_ = true;
      self->stream_.close();
      if (const auto events = self->events_.lock()) events->channel.close();
    });
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  asio::awaitable<void> run() {
    try {
      while (!last_ || !asked_) {
        const bool came = co_await wait_for_request();
        if (!came) break;
        const bool more = co_await serve_request();
        if (!more) break;
      }
      co_await linger();
    } catch (const std::exception& e) {
      log_debug("connection ended", "client", client_, "why", e.what());
    }
    stream_.close();
    ended_();
  }

  // False when the client has closed, or has been idle for too long.
  asio::awaitable<bool> wait_for_request() {
    if (buffer_.size() > 0) co_return true;
    idle_ = true;
    stream_.expires_after(from_seconds(options_.idle_timeout_s));
    const auto got = co_await stream_.async_read_some(buffer_.prepare(4096), kTuple);
    idle_ = false;
    buffer_.commit(std::get<1>(got));
    co_return !std::get<0>(got);
  }

  // True when the connection may carry another request.
  asio::awaitable<bool> serve_request() {
    const TimePoint began = Clock::now();
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
    parser.body_limit(static_cast<uint64_t>(options_.max_body_bytes));
    stream_.expires_after(from_seconds(options_.header_timeout_s));
    asked_ = true;
    const auto header = co_await http::async_read_header(stream_, buffer_, parser, kTuple);
    Counted answering(context_.answering, 1);
    HttpRequest request = take_header(parser);
    if (std::get<0>(header)) co_return co_await refuse_broken(std::get<0>(header), request, began);

    version_ = parser.get().version();
    keep_alive_ = parser.get().keep_alive() && !last_;
    Counted<int64_t> held(context_.api.metrics().body_bytes, 0);
    if (auto refused = early_refusal(parser, request, held)) {
      linger_ = !parser.is_done();
      keep_alive_ = keep_alive_ && !linger_;
      co_return co_await respond(request, *refused, began);
    }
    if (!parser.is_done()) {
      if (lower(parser.get()[http::field::expect]) == "100-continue") {
        static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await write(asio::buffer(kContinue));
      }
      stream_.expires_after(from_seconds(options_.body_timeout_s));
      const auto body = co_await http::async_read(stream_, buffer_, parser, kTuple);
      if (std::get<0>(body)) co_return co_await refuse_broken(std::get<0>(body), request, began);
    }
    request.body = std::move(parser.get().body());
    held.set(static_cast<int64_t>(request.body.size()));

    Reply reply = handle(request);
    request.body = std::string();
    if (auto* response = std::get_if<HttpResponse>(&reply))
      co_return co_await respond(request, *response, began);
    co_return co_await complete(request, *std::get<std::shared_ptr<Completion>>(reply), began);
  }

  HttpRequest take_header(const Parser& parser) const {
    const auto& head = parser.get();
    HttpRequest request{.method = std::string(head.method_string()), .path = decoded_path(head.target())};
    for (const auto& field : head)
      request.headers.emplace(lower(field.name_string()), std::string(field.value()));
    request.client = client_;
    const auto id = request.headers.find("x-request-id");
    request.id = id != request.headers.end() && is_plain_id(id->second) ? id->second : new_request_id();
    return request;
  }

  // Refusals that need no body: keys, and the memory that all bodies share. Reserves that memory in `held`.
  std::optional<HttpResponse> early_refusal(const Parser& parser, HttpRequest& request,
                                            Counted<int64_t>& held) {
    if (auto refused = context_.api.refuse(request)) return refused;
    const auto length = parser.content_length();
    held.set(parser.is_done() ? 0 : static_cast<int64_t>(length.value_or(options_.max_body_bytes)));
    if (context_.api.metrics().body_bytes > options_.max_total_body_bytes) {
      return error_response(
          {503, "The server holds too many large requests at the moment.", "", "overloaded", 1});
    }
    return std::nullopt;
  }

  Reply handle(const HttpRequest& request) {
    try {
      return context_.api.handle(request);
    } catch (const std::exception& e) {
      log_error("request failed", "id", request.id, "path", request.path, "why", e.what());
      return error_response({500, "The server failed on this request.", "", "internal_error"});
    }
  }

  // The answer to what could not be read as a request; empty for a client that left or fell silent.
  std::optional<HttpResponse> answer_to(beast::error_code why) const {
    if (why == http::error::body_limit) {
      return error_response({413, message("The body is larger than ", options_.max_body_bytes, " bytes."), "",
                             "request_too_large"});
    }
    if (why == http::error::header_limit || why == http::error::buffer_overflow) {
      return error_response({431, "The header is too large.", "", "header_too_large"});
    }
    const bool malformed = why.category() == make_error_code(http::error::end_of_stream).category() &&
                           why != http::error::end_of_stream && why != http::error::partial_message;
    if (malformed) return error_response({400, "This is not valid HTTP.", "", "bad_http"});
    return std::nullopt;
  }

  asio::awaitable<bool> refuse_broken(beast::error_code why, const HttpRequest& request, TimePoint began) {
    const std::optional<HttpResponse> answer = answer_to(why);
    keep_alive_ = false;
    linger_ = answer.has_value();
    if (answer) co_await respond(request, *answer, began);
    co_return false;
  }

  asio::awaitable<void> write(asio::const_buffer bytes) {
    stream_.expires_after(from_seconds(options_.write_timeout_s));
    co_await asio::async_write(stream_, bytes, asio::use_awaitable);
    stream_.expires_never();
  }

  template <class Message>
  void set_common(Message& out, const HttpRequest& request) {
    out.version(version_);
    out.keep_alive(keep_alive_);
    out.set(http::field::server, "uhd");
    out.set("x-request-id", request.id);
    if (!options_.cors_origin.empty()) {
      out.set(http::field::access_control_allow_origin, options_.cors_origin);
      out.set(http::field::access_control_expose_headers, "x-request-id");
    }
  }

  asio::awaitable<bool> respond(const HttpRequest& request, const HttpResponse& response, TimePoint began) {
    if (last_ || context_.draining) keep_alive_ = false;
    http::response<http::empty_body> head(static_cast<http::status>(response.status), version_);
    set_common(head, request);
    for (const auto& [name, value] : response.headers) head.set(name, value);
    if (response.status != 204) {
      head.set(http::field::content_type, response.content_type);
      head.content_length(response.body.size());
    }
    std::string bytes = header_text(head);
    if (request.method != "HEAD") bytes += response.body;
    co_await write(asio::buffer(bytes));
    finish(request, response.status, began);
    co_return keep_alive_;
  }

  static std::string header_text(const http::response<http::empty_body>& head) {
    std::ostringstream text;
    text << head.base();
    return std::move(text).str();
  }

  void finish(const HttpRequest& request, int status, TimePoint began) {
    context_.api.count(request.path, status);
    log_debug("answered", "id", request.id, "method", request.method, "path", request.path, "status", status,
              "seconds", seconds(Clock::now() - began));
  }

  asio::awaitable<bool> complete(const HttpRequest& request, Completion& completion, TimePoint began) {
    auto events =
        std::make_shared<EventChannel>(io_, Channel(stream_.get_executor(), completion.most_events()));
    events_ = events;
    const auto refused = completion.start([weak = events_, id = request.id](ChoiceEvent&& event) {
      const auto to = weak.lock();
      if (to == nullptr || !to->channel.is_open()) return;
      if (!to->channel.try_send(boost::system::error_code(), std::move(event))) {
        log_error("more events than a request can have", "id", id);
        to->channel.close();
      }
    });
    if (refused) {
      const HttpResponse response = error_response(*refused);
      co_return co_await respond(request, response, began);
    }

    bool written = false;
    co_await (pump(request, completion, *events, written, began) || watch(*events));
    if (!written) {
      ++context_.api.metrics().disconnected_clients;
      log_info("client left before its answer was complete", "id", request.id);
      keep_alive_ = false;
    }
    co_return keep_alive_&& written && !last_;
  }

  // Events to the client, until the last is written (then `written` is true) or the connection ends.
  asio::awaitable<void> pump(const HttpRequest& request, Completion& completion, EventChannel& events,
                             bool& written, TimePoint began) {
    try {
      bool begun = false;
      while (!completion.finished()) {
        auto received = co_await events.channel.async_receive(kTuple);
        if (std::get<0>(received)) co_return;
        std::string frames = completion.take(std::move(std::get<1>(received)));
        const auto take_more = [&](boost::system::error_code failed, ChoiceEvent more) {
          if (!failed) frames += completion.take(std::move(more));
        };
        while (!completion.finished() && events.channel.try_receive(take_more)) {
        }
        if (frames.empty()) continue;
        if (!begun)
          frames.insert(0, framed_start(request, frames.size()));
        else
          frames.insert(0, chunk_size(frames.size()));
        begun = true;
        if (version_ >= 11) frames += completion.finished() ? "\r\n0\r\n\r\n" : "\r\n";
        co_await write(asio::buffer(frames));
      }
      if (begun) {
        finish(request, 200, began);
      } else {
        const HttpResponse response = completion.response();
        co_await respond(request, response, began);
      }
      written = true;
    } catch (const std::exception& e) {
      log_debug("answer cut short", "id", request.id, "why", e.what());
    }
  }

  // The header of a stream, and the size of its first chunk.
  std::string framed_start(const HttpRequest& request, size_t bytes) {
    if (last_ || context_.draining || version_ < 11) keep_alive_ = false;
    http::response<http::empty_body> head(http::status::ok, version_);
    set_common(head, request);
    head.set(http::field::content_type, "text/event-stream; charset=utf-8");
    head.set(http::field::cache_control, "no-cache");
    head.set("X-Accel-Buffering", "no");
    if (version_ >= 11) head.chunked(true);
    return header_text(head) + chunk_size(bytes);
  }

  std::string chunk_size(size_t bytes) const {
    if (version_ < 11) return {};
    std::ostringstream text;
    text << std::hex << bytes << "\r\n";
    return std::move(text).str();
  }

  // Notices that the client has left while its answer is being made. Bytes that come meanwhile belong to its
  // next request and stay in the buffer.
  asio::awaitable<void> watch(EventChannel& events) {
    try {
      while (buffer_.size() + 4096 <= kReadAhead) {
        const auto got = co_await stream_.socket().async_read_some(buffer_.prepare(4096), kTuple);
        buffer_.commit(std::get<1>(got));
        if (std::get<0>(got) == asio::error::operation_aborted) co_return;
        if (std::get<0>(got)) {
          last_ = true;
          stream_.close();
          events.channel.close();
          co_return;
        }
      }
      asio::steady_timer never(stream_.get_executor(), asio::steady_timer::time_point::max());
      co_await never.async_wait(kTuple);
    } catch (const std::exception&) {
      co_return;  // the answer is complete
    }
  }

  // After an early refusal: lets the client finish sending, so that it reads the answer instead of a reset.
  asio::awaitable<void> linger() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (!linger_) co_return;
    std::array<char, 16 << 10> dropped;
    stream_.expires_after(from_seconds(kLingerSeconds));
    for (int64_t bytes = 0; bytes < kMostLingerBytes;) {
      const auto got = co_await stream_.async_read_some(asio::buffer(dropped), kTuple);
      if (std::get<0>(got)) break;
      bytes += static_cast<int64_t>(std::get<1>(got));
    }
  }

  const std::shared_ptr<asio::io_context> io_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  SessionContext& context_;
  const NetOptions& options_;
  const std::function<void()> ended_;
  std::string client_;
  std::weak_ptr<EventChannel> events_;  // of the completion being answered
  unsigned version_ = 11;
  bool keep_alive_ = true;
  bool linger_ = false;
  bool idle_ = false;
  bool asked_ = false;  // a request has begun
  bool last_ = false;   // no request after this one
};

}  // namespace

std::shared_ptr<HttpSession> start_session(const std::shared_ptr<asio::io_context>& io, int socket, bool v6,
                                           SessionContext& context, std::function<void()> ended) {
  auto session = std::make_shared<Session>(io, socket, v6, context, std::move(ended));
  session->start();
  return session;
}

}  // namespace uhd
