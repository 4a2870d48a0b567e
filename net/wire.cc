#include "net/wire.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <optional>
#include <utility>

namespace uhd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Socket = asio::generic::stream_protocol::socket;
using TlsStream = asio::ssl::stream<Socket&>;

constexpr Duration kGoodbye = std::chrono::seconds(1);

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

}  // namespace

struct Wire::State : std::enable_shared_from_this<State> {
  // A Deadline belongs to one kind of operation. Turns tell an operation that has just ended from the next
  // one.
  struct Deadline {
    explicit Deadline(const asio::any_io_executor& executor) : timer(executor) {}
    asio::steady_timer timer;
    uint64_t turn = 0;
    bool passed = false;
  };

  State(Socket accepted, int its_family, std::shared_ptr<asio::ssl::context> context)
      : socket(std::move(accepted)),
        family(its_family),
        tls_context(std::move(context)),
        reading(socket.get_executor()),
        writing(socket.get_executor()) {
    if (tls_context != nullptr) tls = std::make_unique<TlsStream>(socket, *tls_context);
  }

  void arm(Deadline Wire::State::*which, TimePoint at) {
    Deadline& deadline = this->*which;
    deadline.passed = false;
    const uint64_t turn = ++deadline.turn;
    if (at == TimePoint::max()) return;
    deadline.timer.expires_at(at);
    deadline.timer.async_wait([weak = weak_from_this(), which, turn](boost::system::error_code cancelled) {
      const auto state = weak.lock();
      if (cancelled || state == nullptr || (state.get()->*which).turn != turn) return;
      (state.get()->*which).passed = true;
      boost::system::error_code ignored;
      state->socket.cancel(ignored);
    });
  }
  // Returns true if the deadline passed before the operation ended.
  static bool disarm(Deadline& deadline) {
    ++deadline.turn;
    deadline.timer.cancel();
    return deadline.passed;
  }

  Socket socket;
  const int family;
  const std::shared_ptr<asio::ssl::context> tls_context;
  std::unique_ptr<TlsStream> tls;  // null: bytes go as they are
  boost::beast::flat_buffer in;
  Deadline reading;
  Deadline writing;
  bool interrupted = false;
  // Is set once nothing can be read any more. Asio waits for news of a socket whose end it has told, and none
  // come; whoever was told may have been cancelled by then.
  std::optional<Got> over;
};

Wire::Wire(asio::io_context& io, int socket, int family, std::shared_ptr<asio::ssl::context> tls)
    : state_(std::make_shared<State>(
          Socket(asio::make_strand(io),
                 asio::generic::stream_protocol(family, family == AF_UNIX ? 0 : IPPROTO_TCP), socket),
          family, std::move(tls))) {
  boost::system::error_code ignored;
  if (family != AF_UNIX) state_->socket.set_option(tcp::no_delay(true), ignored);
}

Wire::~Wire() = default;

asio::any_io_executor Wire::executor() const { return state_->socket.get_executor(); }

Task<bool> Wire::meet(TimePoint deadline) {
  const auto state = state_;
  if (state->tls == nullptr) co_return true;
  state->arm(&State::reading, deadline);
  const auto result = co_await state->tls->async_handshake(TlsStream::server, kTuple);
  State::disarm(state->reading);
  co_return !std::get<0>(result);
}

Task<Wire::Got> Wire::read(size_t most, TimePoint deadline) {
  const auto state = state_;
  if (std::exchange(state->interrupted, false)) co_return Got::interrupted;
  if (state->over) co_return *state->over;
  if (state->in.size() == 0) state->in.shrink_to_fit();  // an idle connection keeps no memory
  state->arm(&State::reading, deadline);
  const auto result = state->tls != nullptr
                          ? co_await state->tls->async_read_some(state->in.prepare(most), kTuple)
                          : co_await state->socket.async_read_some(state->in.prepare(most), kTuple);
  const bool late = State::disarm(state->reading);
  const bool interrupted = std::exchange(state->interrupted, false);
  state->in.commit(std::get<1>(result));
  if (std::get<1>(result) > 0) {
    state->interrupted = interrupted;
    co_return Got::bytes;
  }
  const boost::system::error_code failed = std::get<0>(result);
  const Got got = failed == asio::error::eof && state->tls == nullptr ? Got::end : Got::lost;
  if (failed && failed != asio::error::operation_aborted) state->over = got;
  if (late) co_return Got::late;
  if (interrupted) co_return Got::interrupted;
  co_return got;
}

std::string_view Wire::unread() const {
  const auto data = state_->in.cdata();
  return {static_cast<const char*>(data.data()), data.size()};
}

void Wire::consume(size_t bytes) { state_->in.consume(bytes); }

void Wire::interrupt() {
  state_->interrupted = true;
  boost::system::error_code ignored;
  state_->socket.cancel(ignored);
}

void Wire::resume() { state_->interrupted = false; }

Task<bool> Wire::write(std::string_view bytes, double limit_s) {
  const auto state = state_;
  state->arm(&State::writing, Clock::now() + from_seconds(limit_s));
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  const auto result = state->tls != nullptr ? co_await asio::async_write(*state->tls, buffer, kTuple)
                                            : co_await asio::async_write(state->socket, buffer, kTuple);
  State::disarm(state->writing);
  co_return !std::get<0>(result);
}

void Wire::write_now(std::string_view bytes) {
  if (state_->tls != nullptr) return;
  boost::system::error_code ignored;
  state_->socket.non_blocking(true, ignored);
  state_->socket.write_some(asio::buffer(bytes.data(), bytes.size()), ignored);
}

bool Wire::has_more() const {
  if (state_->tls != nullptr && SSL_pending(state_->tls->native_handle()) > 0) return true;
  boost::system::error_code ignored;
  return state_->socket.available(ignored) > 0;
}

// A client that only ended its side waits in CLOSE_WAIT; one that is gone resets the connection once anything
// is sent to it.
bool Wire::broken() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (!state_->socket.is_open()) return true;
  if (state_->family == AF_UNIX) {
    pollfd asked{state_->socket.native_handle(), 0, 0};
    return poll(&asked, 1, 0) < 0 || (asked.revents & (POLLHUP | POLLERR)) != 0;
  }
  if (getsockopt(state_->socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state == TCP_CLOSE;
}

Task<void> Wire::close_write() {
  const auto state = state_;
  if (state->tls != nullptr) {
    state->arm(&State::reading, Clock::now() + kGoodbye);
    co_await state->tls->async_shutdown(kTuple);
    State::disarm(state->reading);
    state->tls.reset();  // OpenSSL reads no more of a client that still sends; read() drains raw bytes
  }
  boost::system::error_code ignored;
  state->socket.shutdown(Socket::shutdown_send, ignored);
}

void Wire::close() {
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

}  // namespace uhd
