#include "net/request_parser.h"

#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http.hpp>

#include "base/ascii.h"
#include "base/error.h"
#include "net/last_chunk.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// Works like Beast's string_body, but does not reserve the bytes that Content-Length claims.
struct GrowingBody {
  using value_type = std::string;

  class reader {  // NOLINT(readability-identifier-naming): Beast's name
   public:
    template <bool kRequest, class Fields>
    reader(http::header<kRequest, Fields>&, std::string& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, beast::error_code& failed) { failed = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, beast::error_code& failed) {
      failed = {};
      const size_t before = body_.size();
      for (const auto buffer : beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
      }
      return body_.size() - before;
    }
    void finish(beast::error_code& failed) { failed = {}; }

   private:
    std::string& body_;
  };
};

}  // namespace

struct RequestParser::State {
  http::request_parser<GrowingBody> parser;
};

RequestParser::RequestParser(int64_t max_header_bytes, int64_t max_body_bytes)
    : max_header_bytes_(max_header_bytes),
      max_body_bytes_(max_body_bytes),
      state_(std::make_unique<State>()) {
  state_->parser.header_limit(static_cast<uint32_t>(max_header_bytes));
  state_->parser.body_limit(static_cast<uint64_t>(max_body_bytes));
}

RequestParser::~RequestParser() = default;

bool RequestParser::header_done() const { return state_->parser.is_header_done(); }
bool RequestParser::done() const { return !error_ && state_->parser.is_done(); }

size_t RequestParser::put_header(std::string_view bytes) {
  const size_t used = put(bytes, &RequestParser::header_done);
  const size_t left = bytes.size() - used;
  if (!error_ && !header_done() && left > static_cast<size_t>(max_header_bytes_)) {
    error_ = ApiError{431, "The header is too large.", "", "header_too_large"};
  }
  if (!error_ && header_done()) {
    if (version() >= 11 && state_->parser.get().count(http::field::host) == 0)
      error_ = ApiError{400, "The header 'Host' is missing.", "", "bad_http"};
    // A filter in front of the server may have judged another one of them (RFC 9112, 3.2).
    for (const http::field once : {http::field::host, http::field::origin, http::field::authorization}) {
      if (state_->parser.get().count(once) <= 1) continue;
      error_ =
          ApiError{400, message("The header '", std::string_view(http::to_string(once)), "' stands twice."),
                   "", "bad_http"};
    }
  }
  return used;
}

size_t RequestParser::put_body(std::string_view bytes) {
  state_->parser.eager(true);
  const size_t used = put(bytes, &RequestParser::done);
  // The rest is no body, but the line of a chunk, or fields behind the last one: nobody counts it.
  if (!error_ && !done() && bytes.size() - used > static_cast<size_t>(max_header_bytes_)) {
    error_ = ApiError{400, "A line between the chunks of the body is too long.", "", "bad_http"};
  }
  return used;
}

size_t RequestParser::put(std::string_view bytes, bool (RequestParser::*enough)() const) {
  size_t used = 0;
  while (used < bytes.size() && !error_ && !(this->*enough)() &&
         may_be_put(state_->parser, bytes.size() - used)) {
    beast::error_code failed;
    const size_t taken =
        state_->parser.put(asio::const_buffer(bytes.data() + used, bytes.size() - used), failed);
    used += taken;
    if (failed == http::error::need_more) break;
    if (failed == http::error::body_limit) {
      error_ = ApiError{413, message("The body is larger than ", max_body_bytes_, " bytes."), "",
                        "request_too_large"};
    } else if (failed == http::error::header_limit) {
      error_ = ApiError{431, "The header is too large.", "", "header_too_large"};
    } else if (failed) {
      error_ = ApiError{400, "This is not valid HTTP.", "", "bad_http"};
    }
  }
  return used;
}

std::string RequestParser::method() const { return std::string(state_->parser.get().method_string()); }

std::optional<Target> RequestParser::target() const { return parse_target(state_->parser.get().target()); }

std::map<std::string, std::string> RequestParser::headers() const {
  std::map<std::string, std::string> headers;
  for (const auto& field : state_->parser.get())
    headers.emplace(lower_ascii(field.name_string()), std::string(field.value()));
  return headers;
}

unsigned RequestParser::version() const { return state_->parser.get().version(); }

bool RequestParser::keep_alive() const { return header_done() && state_->parser.keep_alive(); }

int64_t RequestParser::body_bytes() const { return static_cast<int64_t>(state_->parser.get().body().size()); }

std::string RequestParser::take_body() { return std::move(state_->parser.get().body()); }

}  // namespace uhd
