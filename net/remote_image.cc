#include "net/remote_image.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"
#include "net/data_url.h"
#include "net/last_chunk.h"
#include "net/public_address.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Addresses = std::vector<std::pair<sockaddr_storage, socklen_t>>;

ApiError bad_remote(std::string text) { return {400, std::move(text), "", "invalid_image_url"}; }
ApiError not_fetched() {
  return {400, "The image could not be fetched: its server did not send an image in time.", "",
          "image_fetch_failed"};
}
ApiError no_room() {
  return {503, "As many images as may be fetched at once are being fetched.", "", "overloaded", 1};
}

// One of the fetches that may run at once. A resolver that nobody waits for any more keeps its place.
class Place {
 public:
  static std::shared_ptr<Place> take(int most) {
    std::shared_ptr<Place> place(new Place);
    return running_.load() <= most ? place : nullptr;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { --running_; }

 private:
  Place() { ++running_; }
  static inline std::atomic<int> running_ = 0;
};

Addresses resolved(const RemoteUrl& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, freeaddrinfo);
  Addresses addresses;
  for (const addrinfo* at = list; at != nullptr && addresses.size() < 8; at = at->ai_next) {
    auto& [address, length] = addresses.emplace_back();
    std::copy_n(reinterpret_cast<const std::byte*>(at->ai_addr), at->ai_addrlen,
                reinterpret_cast<std::byte*>(&address));
    length = at->ai_addrlen;
  }
  return addresses;
}

// The system's resolver has no deadline, so it has a thread of its own, which may outlive the wait.
Addresses resolve(const RemoteUrl& url, TimePoint deadline, const std::stop_token& stop,
                  std::shared_ptr<Place> place) {
  auto answer = std::make_shared<std::promise<Addresses>>();
  std::future<Addresses> addresses = answer->get_future();
  std::thread([url, answer, place = std::move(place)]() mutable {
    Addresses found = resolved(url);
    place.reset();  // before anybody hears of it
    answer->set_value(std::move(found));
  }).detach();
  while (addresses.wait_until(std::min(deadline, Clock::now() + kStopLook)) != std::future_status::ready) {
    if (stop.stop_requested() || Clock::now() >= deadline) return {};
  }
  return addresses.get();
}

const sockaddr& plain(const sockaddr_storage& address) { return reinterpret_cast<const sockaddr&>(address); }

// Each address gets an equal share of the time that is left, so that a silent one leaves some for the others.
std::unique_ptr<ImageStream> connect(const Addresses& addresses, const RemoteUrl& url, TimePoint deadline,
                                     const std::stop_token& stop) {
  auto left = static_cast<int64_t>(addresses.size());
  for (const auto& [address, length] : addresses) {
    const TimePoint now = Clock::now();
    const StreamLimits limits{.open_by = now + (deadline - now) / left--, .deadline = deadline, .stop = stop};
    if (auto stream = open_image_stream(plain(address), length, url.tls ? url.host : "", limits))
      return stream;
  }
  return nullptr;
}

// Reads one answer. Beast checks a length that a header claims against the limit before it takes memory for
// it.
class Answer {
 public:
  Answer(int64_t max_bytes, const TakeBytes& take) : max_bytes_(max_bytes), take_(take) {
    parser_.header_limit(16 << 10);
    parser_.body_limit(static_cast<uint64_t>(max_bytes));
    parser_.eager(true);
  }

  std::variant<std::string, ApiError> read(ImageStream& stream) {
    std::string held;
    std::array<char, 16384> piece;
    while (!parser_.is_done()) {
      const ptrdiff_t got = stream.read(piece);
      if (got < 0 || (got == 0 && !parser_.got_some())) return not_fetched();  // put_eof() asserts some
      beast::error_code failed;
      if (got == 0) {
        parser_.put_eof(failed);
        if (failed || !parser_.is_done()) return not_fetched();
        break;
      }
      held.append(piece.data(), static_cast<size_t>(got));
      if (!grow(got)) return no_room();
      if (came_ > 2 * max_bytes_ + kMostUnread) return not_fetched();  // mostly frames of chunks
      while (!held.empty() && !parser_.is_done() && may_be_put(parser_, held.size())) {
        const size_t used = parser_.put(asio::const_buffer(held.data(), held.size()), failed);
        held.erase(0, used);
        if (failed == http::error::need_more) break;
        if (failed == http::error::body_limit) return too_large();
        if (failed) return not_fetched();
        if (parser_.is_header_done() && !wanted()) return not_fetched();
        if (used == 0) break;
      }
      if (static_cast<int64_t>(held.size()) > kMostUnread)
        return not_fetched();  // a line of a chunk without end
    }
    if (!wanted() || !is_image_file(parser_.get().body())) return not_fetched();
    return std::move(parser_.get().body());
  }

 private:
  static constexpr int64_t kMostUnread = 32 << 10;  // a header at its limit, and a piece

  // Returns true for an image as it is: a redirect is none, and neither is what would have to be unpacked.
  bool wanted() const {
    const std::string encoding = lower_ascii(std::string(parser_.get()[http::field::content_encoding]));
    return parser_.get().result() == http::status::ok && (encoding.empty() || encoding == "identity");
  }

  // Room is taken in pieces that hold what has come.
  bool grow(int64_t bytes) {
    constexpr int64_t kPiece = 1 << 20;
    came_ += bytes;
    while (came_ > taken_) {
      if (take_ && !take_(kPiece)) return false;
      taken_ += kPiece;
    }
    return true;
  }

  ApiError too_large() const {
    return {413, message("The image is larger than the limit of ", max_bytes_, " bytes."), "",
            "image_too_large"};
  }

  const int64_t max_bytes_;
  const TakeBytes& take_;
  http::response_parser<http::string_body> parser_;
  int64_t came_ = 0;
  int64_t taken_ = 0;
};

std::string request_for(const RemoteUrl& url) {
  return message(
      "GET ", url.target, " HTTP/1.1\r\nHost: ", url.authority,
      "\r\nUser-Agent: uhd\r\nAccept: image/*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n");
}

}  // namespace

std::variant<std::string, ApiError> fetch_image(std::string_view text, const NetOptions& options,
                                                TimePoint deadline, const ImageIntake& intake) {
  const auto url = parse_remote_url(trim_ascii(text.substr(0, text.find('#'))));
  if (!url) return bad_remote("This is not a URL of http or https that is taken here.");
  if (!is_allowed_host(*url, options.image_hosts)) {
    return bad_remote("Images of this host are not fetched: it is not in net.image_hosts.");
  }
  std::unique_ptr<ImageStream> stream;  // outlives the place: who sees it close may bring a next image
  const auto place = Place::take(std::max(1, options.intake_threads - 1));
  if (place == nullptr) return no_room();
  const Addresses addresses = resolve(*url, deadline, intake.stop, place);
  const bool reachable =
      options.image_private_addresses || std::ranges::all_of(addresses, [](const auto& address) {
        return is_public_address(plain(address.first));
      });
  if (!reachable) return not_fetched();
  stream = connect(addresses, *url, deadline, intake.stop);
  if (stream == nullptr || !stream->write(request_for(*url))) return not_fetched();
  return read_image_answer(*stream, options.max_image_bytes, intake.take);
}

std::variant<std::string, ApiError> read_image_answer(ImageStream& stream, int64_t max_bytes,
                                                      const TakeBytes& take) {
  return Answer(max_bytes, take).read(stream);
}

}  // namespace uhd
