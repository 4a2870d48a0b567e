// Reads the header and the body of an HTTP request and its target, and makes the checks of Host and Origin.
// The bytes are one request, however they are cut into pieces.
#include "net/http.h"
#include "net/access.h"
#include "net/request_parser.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

constexpr size_t kMostHeader = 1024;

struct Seen {
  bool failed = false;
  bool done = false;
  std::string method;
  std::optional<Target> target;
  std::map<std::string, std::string> headers;
  std::string body;
  bool operator==(const Seen& other) const {
    if (failed || other.failed) return !done && !other.done;  // a fault may show before the header ends
    return done == other.done && method == other.method && headers == other.headers && body == other.body &&
           target.has_value() == other.target.has_value() &&
           (!target || (target->path == other.target->path && target->authority == other.target->authority));
  }
};

Seen read_in(std::string_view bytes, size_t piece) {
  RequestParser parser(kMostHeader, 4096);
  std::string held;
  while (!parser.done() && !parser.error() && !bytes.empty()) {
    held += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    size_t used = parser.header_done() ? 0 : parser.put_header(held);
    if (parser.header_done() && !parser.error()) used += parser.put_body(std::string_view(held).substr(used));
    must_hold(used <= held.size(), "more bytes were used than there are");
    held.erase(0, used);
    must_hold(parser.error() || parser.done() || held.size() <= kMostHeader + piece,
              "unread bytes grow without bound");
  }
  Seen seen{.failed = parser.error().has_value(), .done = parser.done()};
  if (!seen.failed && parser.header_done()) {
    seen.method = parser.method();
    seen.target = parser.target();
    seen.headers = parser.headers();
    if (seen.done) seen.body = parser.take_body();  // the last bytes of a part may still wait
  }
  return seen;
}

}  // namespace

bool fuzz_http(std::string_view bytes) {
  static const Access access{NetOptions{}};
  const Seen whole = read_in(bytes, bytes.size()), pieces = read_in(bytes, 1);
  must_hold(whole == pieces, "a request depends on how it was cut");
  if (!whole.target) return false;
  must_hold(!whole.target->path.empty(), "a request has no path");
  HttpRequest request;
  request.method = whole.method;
  request.path = whole.target->path;
  request.headers = whole.headers;
  access.answer(request);
  access.headers(request);
  return true;
}

}  // namespace uhd
