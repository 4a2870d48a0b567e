#include "app/load_client.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <exception>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "model/vision/png_writer.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kLongestEvent = size_t{16} << 20;  // bytes of one line, and of an error's body

std::string base64_of(const std::string& bytes) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j)
      word = word << 8 | (j < left ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= left ? kDigits[word >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

// The message of a turn, as JSON text. Pictures are made before the run, so that it measures the server.
std::string message_of(const LoadTurn& turn) {
  json::array parts;
  for (const DrawnPicture& picture : turn.pictures) {
    const std::string bytes =
        picture.file.empty() ? encode_png(draw_picture(picture)) : read_text_file(picture.file);
    const char* type = bytes.starts_with("\xff\xd8") ? "jpeg" : "png";
    const std::string url = message("data:image/", type, ";base64,", base64_of(bytes));
    parts.push_back(json::object{{"type", "image_url"}, {"image_url", {{"url", url}}}});
  }
  parts.push_back(json::object{{"type", "text"}, {"text", turn.text}});
  return json::serialize(json::object{{"role", "user"}, {"content", std::move(parts)}});
}

// The member of an object that may not be one, or null.
const json::value* member_of(const json::value& value, const char* key) {
  return value.is_object() ? value.get_object().if_contains(key) : nullptr;
}

// Reads server-sent events as they come.
class AnswerReader {
 public:
  // `now` is the time at which the bytes came.
  void push(std::string_view bytes, double now, TurnResult& result) {
    line_ += bytes;
    size_t begin = 0;
    for (size_t end = line_.find('\n'); end != std::string::npos; end = line_.find('\n', begin)) {
      std::string_view line(line_.data() + begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.starts_with("data:")) take_event(line.substr(5), now, result);
      begin = end + 1;
    }
    line_.erase(0, begin);
    if (line_.size() > kLongestEvent) result.error = "broken";
  }
  const std::string& answer() const { return answer_; }
  bool ended() const { return ended_; }

 private:
  void take_event(std::string_view text, double now, TurnResult& result) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    if (text == "[DONE]") {
      ended_ = true;
      return;
    }
    boost::system::error_code wrong;
    const json::value event = json::parse(text, wrong);
    if (wrong) {
      result.error = "broken";
      result.detail = "an event is not JSON";
      return;
    }
    if (const json::value* error = member_of(event, "error")) {
      result.error = "error event";
      result.detail = json::serialize(*error);
      return;
    }
    take_usage(event, result);
    const json::value* choices = member_of(event, "choices");
    if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) return;
    const json::value* delta = member_of(choices->get_array()[0], "delta");
    bool said = false;
    for (const char* key : {"reasoning_content", "content"}) {
      const json::value* piece = delta == nullptr ? nullptr : member_of(*delta, key);
      if (piece == nullptr || !piece->is_string() || piece->get_string().empty()) continue;
      said = true;
      if (key == std::string_view("content")) answer_ += std::string_view(piece->get_string());
    }
    // Tokens whose text is held back, or that have none, show only in the end of the answer.
    const json::value* reason = member_of(choices->get_array()[0], "finish_reason");
    if (!said && (reason == nullptr || reason->is_null())) return;
    result.done_s = now;
    if (result.first_s == 0) {
      result.first_s = now;
    } else if (said) {
      result.gaps_s.push_back(now - last_);
    }
    last_ = now;
  }

  static void take_usage(const json::value& event, TurnResult& result) {
    const json::value* usage = member_of(event, "usage");
    for (const auto& [key, to] : {std::pair("prompt_tokens", &result.prompt_tokens),
                                  std::pair("completion_tokens", &result.answer_tokens)}) {
      const json::value* count = usage == nullptr ? nullptr : member_of(*usage, key);
      if (count != nullptr && count->is_int64()) *to = count->get_int64();
    }
    const json::value* details = usage == nullptr ? nullptr : member_of(*usage, "prompt_tokens_details");
    const json::value* cached = details == nullptr ? nullptr : member_of(*details, "cached_tokens");
    if (cached != nullptr && cached->is_int64()) result.cached_tokens = cached->get_int64();
  }

  std::string line_, answer_;
  double last_ = 0;
  bool ended_ = false;
};

class LoadDriver {
 public:
  LoadDriver(LoadTarget target, std::vector<LoadSession> trace, int streams,
             const std::function<void(size_t)>& progress)
      : target_(std::move(target)), trace_(std::move(trace)), streams_(streams), progress_(progress) {
    for (const LoadSession& session : trace_) {
      left_ += session.beside ? 0 : 1;
      auto& turns = messages_.emplace_back();
      for (const LoadTurn& turn : session.turns) turns.push_back(message_of(turn));
    }
  }

  LoadRun run() {
    spawn(prepare());
    context_.run();
    context_.restart();
    rethrow();
    start_ = Clock::now();
    const auto sessions = static_cast<int>(trace_.size());
    for (int i = 0; i < (streams_ > 0 ? std::min(streams_, sessions) : sessions); ++i)
      spawn(streams_ > 0 ? stream() : arrival(static_cast<size_t>(i)));
    context_.run();
    rethrow();
    run_.seconds = now();
    run_.sent = std::move(trace_);
    return std::move(run_);
  }

 private:
  double now() const { return seconds(Clock::now() - start_); }

  void spawn(asio::awaitable<void> work) {
    asio::co_spawn(context_, std::move(work), [this](const std::exception_ptr& failed) {
      if (failed && !failed_) failed_ = failed;
    });
  }
  void rethrow() const {
    if (failed_) std::rethrow_exception(failed_);
  }

  // Finds the server, and the model's name where none is given.
  asio::awaitable<void> prepare() {
    tcp::resolver resolver(context_);
    const auto [unknown, found] = co_await resolver.async_resolve(target_.host, target_.port, kAsTuple);
    require(!unknown, "the host ", target_.host, " was not found: ", unknown.message());
    addresses_ = found;
    beast::tcp_stream stream(context_);
    stream.expires_after(std::chrono::seconds(30));
    const auto [refused, at] = co_await stream.async_connect(addresses_, kAsTuple);
    require(!refused, target_.host, ":", target_.port, " cannot be reached: ", refused.message());
    if (!target_.model.empty()) co_return;
    http::request<http::empty_body> request(http::verb::get, target_.prefix + "/models", 11);
    set_head(request, target_.key);
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    const auto [unsent, sent] = co_await http::async_write(stream, request, kAsTuple);
    const auto [unread, read] = co_await http::async_read(stream, buffer, response, kAsTuple);
    require(!unsent && !unread && response.result() == http::status::ok, "GET ", target_.prefix,
            "/models gave no list: name the model with --model");
    boost::system::error_code wrong;
    const json::value list = json::parse(response.body(), wrong);
    const json::value* models = wrong ? nullptr : member_of(list, "data");
    const bool some = models != nullptr && models->is_array() && !models->get_array().empty();
    const json::value* name = some ? member_of(models->get_array()[0], "id") : nullptr;
    require(name != nullptr && name->is_string(), "the server lists no model: name one with --model");
    target_.model = std::string(name->get_string());
  }

  template <class Request>
  void set_head(Request& request, const std::string& key) const {
    request.set(http::field::host, target_.host + ":" + target_.port);
    request.set(http::field::user_agent, "uhd bench");
    request.set(http::field::connection, "close");
    if (!key.empty()) request.set(http::field::authorization, "Bearer " + key);
  }

  // An open loop's session begins at its time.
  asio::awaitable<void> arrival(size_t index) {
    co_await wait_until(trace_[index].at_s);
    if (!over(trace_[index])) co_await session(index);
  }

  // Returns true for a session beside the others once these have ended.
  bool over(const LoadSession& session) const { return session.beside && left_ == 0; }

  void end_session(size_t index) {
    if (trace_[index].beside || --left_ > 0) return;
    for (asio::steady_timer* timer : waits_) timer->cancel();  // of sessions beside
  }

  // A stream of a closed loop takes one session after another.
  asio::awaitable<void> stream() {
    while (next_ < trace_.size()) {
      const size_t index = next_++;
      trace_[index].at_s = now();
      co_await session(index);
    }
  }

  asio::awaitable<void> wait_until(double at_s) {
    asio::steady_timer timer(context_, start_ + from_seconds(at_s));
    waits_.insert(&timer);
    co_await timer.async_wait(kAsTuple);
    waits_.erase(&timer);
  }

  asio::awaitable<void> session(size_t index) {
    co_await take_turns(index);
    end_session(index);
  }

  // The turns one after another, each with all that was said before. A failed turn ends the session.
  asio::awaitable<void> take_turns(size_t index) {
    std::string said;
    for (size_t turn = 0; turn < messages_[index].size(); ++turn) {
      if (turn > 0 && !over(trace_[index])) co_await wait_until(now() + trace_[index].think_s);
      if (over(trace_[index])) co_return;
      TurnResult result{.session = static_cast<int>(index), .turn = static_cast<int>(turn)};
      result.pictures = static_cast<int>(trace_[index].turns[turn].pictures.size());
      result.beside = trace_[index].beside;
      said += (turn > 0 ? "," : "") + std::exchange(messages_[index][turn], {});
      AnswerReader reader;
      result.sent_s = now();
      co_await ask(body_of(said, trace_[index].turns[turn].max_tokens), reader, result);
      if (result.ok() && result.first_s == 0) result.error = "no token";
      if (!result.ok() || result.done_s == 0) result.done_s = now();
      said += "," + json::serialize(json::object{{"role", "assistant"}, {"content", reader.answer()}});
      const bool ok = result.ok();
      run_.turns.push_back(std::move(result));
      if (progress_) progress_(run_.turns.size());
      if (!ok) co_return;
    }
  }

  std::string body_of(const std::string& messages, int tokens) const {
    json::object rest{{"model", target_.model},
                      {"max_tokens", tokens},
                      {"temperature", 0},
                      {"stream", true},
                      {"stream_options", {{"include_usage", true}}}};
    if (target_.ignore_eos) rest["ignore_eos"] = true;
    std::string body = json::serialize(rest);
    body.back() = ',';  // instead of the closing brace
    return body + "\"messages\":[" + messages + "]}";
  }

  asio::awaitable<void> ask(std::string body, AnswerReader& reader, TurnResult& result) {
    beast::tcp_stream stream(context_);
    stream.expires_after(
        std::chrono::duration_cast<std::chrono::nanoseconds>(from_seconds(target_.timeout_s)));
    const auto fails = [&result](const beast::error_code& error, const char* kind) {
      if (!error) return false;
      result.error = error == beast::error::timeout ? "timeout" : kind;
      result.detail = error.message();
      return true;
    };
    const auto [refused, at] = co_await stream.async_connect(addresses_, kAsTuple);
    if (fails(refused, "connect")) co_return;
    http::request<http::string_body> request(http::verb::post, target_.prefix + "/chat/completions", 11);
    set_head(request, result.beside && !target_.beside_key.empty() ? target_.beside_key : target_.key);
    request.set(http::field::content_type, "application/json");
    request.body() = std::move(body);
    request.prepare_payload();
    // A server that refuses a body answers before it has read all of it: what it says is read in any case.
    const auto [unsent, sent] = co_await http::async_write(stream, request, kAsTuple);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    const auto [unread, head] = co_await http::async_read_header(stream, buffer, parser, kAsTuple);
    if (fails(unread, unsent ? "send" : "broken")) co_return;
    const unsigned status = parser.get().result_int();
    if (status != 200) result.error = message("http ", status);
    char bytes[8192];
    while (!parser.is_done()) {
      parser.get().body().data = bytes;
      parser.get().body().size = sizeof(bytes);
      const auto [broken, count] = co_await http::async_read_some(stream, buffer, parser, kAsTuple);
      const std::string_view got(bytes, sizeof(bytes) - parser.get().body().size);
      if (status != 200) {
        result.detail.append(got.substr(0, kLongestEvent - std::min(kLongestEvent, result.detail.size())));
      } else {
        reader.push(got, now(), result);
      }
      if (broken && broken != http::error::need_buffer) {
        if (status == 200 && !reader.ended()) fails(broken, "broken");
        break;
      }
      if (status == 200 && !result.ok()) break;
      if (result.beside && left_ == 0 && result.first_s > 0) co_return;
    }
    if (status == 200 && result.ok() && !reader.ended()) result.error = "broken";
  }

  LoadTarget target_;
  std::vector<LoadSession> trace_;
  const int streams_;
  const std::function<void(size_t)>& progress_;
  std::vector<std::vector<std::string>> messages_;  // of each session's turns
  asio::io_context context_{1};
  tcp::resolver::results_type addresses_;
  TimePoint start_;
  size_t next_ = 0;
  size_t left_ = 0;                      // sessions that are not beside others and have not ended
  std::set<asio::steady_timer*> waits_;  // for sessions' times
  LoadRun run_;
  std::exception_ptr failed_;
};

}  // namespace

LoadTarget parse_target(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  require(url.starts_with(kScheme), url, ": only http:// is spoken; put a proxy before a server with TLS");
  std::string_view rest = std::string_view(url).substr(kScheme.size());
  LoadTarget target;
  const size_t path = rest.find('/');
  if (path != std::string_view::npos) target.prefix = std::string(rest.substr(path));
  while (target.prefix.ends_with('/')) target.prefix.pop_back();
  std::string_view place = rest.substr(0, path);
  const size_t colon = place.rfind(':');
  const bool port = colon != std::string_view::npos && place.find(']', colon) == std::string_view::npos;
  target.port = port ? std::string(place.substr(colon + 1)) : "80";
  if (port) place = place.substr(0, colon);
  if (place.starts_with('[') && place.ends_with(']')) place = place.substr(1, place.size() - 2);
  target.host = std::string(place);
  require(!target.host.empty() && !target.port.empty(), url, " is no http://host:port/v1");
  for (const char c : url) require(c > ' ' && c < 127, "the URL holds a space or a control character");
  return target;
}

LoadRun run_load(LoadTarget target, std::vector<LoadSession> trace, int streams,
                 const std::function<void(size_t)>& progress) {
  return LoadDriver(std::move(target), std::move(trace), streams, progress).run();
}

}  // namespace uhd
