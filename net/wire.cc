#include "net/wire.h"

#include <netinet/tcp.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <utility>

namespace uhd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

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

  explicit State(tcp::socket accepted)
      : socket(std::move(accepted)), reading(socket.get_executor()), writing(socket.get_executor()) {}

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

  tcp::socket socket;
  boost::beast::flat_buffer in;
  Deadline reading;
  Deadline writing;
  bool interrupted = false;
};

Wire::Wire(asio::io_context& io, int socket, bool v6)
    : state_(
          std::make_shared<State>(tcp::socket(asio::make_strand(io), v6 ? tcp::v6() : tcp::v4(), socket))) {
  boost::system::error_code ignored;
  state_->socket.set_option(tcp::no_delay(true), ignored);
}

Wire::~Wire() = default;

asio::any_io_executor Wire::executor() const { return state_->socket.get_executor(); }

Task<Wire::Got> Wire::read(size_t most, TimePoint deadline) {
  const auto state = state_;
  if (std::exchange(state->interrupted, false)) co_return Got::interrupted;
  if (state->in.size() == 0) state->in.shrink_to_fit();  // an idle connection keeps no memory
  state->arm(&State::reading, deadline);
  const auto result = co_await state->socket.async_read_some(state->in.prepare(most), kTuple);
  const bool late = State::disarm(state->reading);
  const bool interrupted = std::exchange(state->interrupted, false);
  state->in.commit(std::get<1>(result));
  if (std::get<1>(result) > 0) {
    state->interrupted = interrupted;
    co_return Got::bytes;
  }
  if (late) co_return Got::late;
  if (interrupted) co_return Got::interrupted;
  co_return std::get<0>(result) == asio::error::eof ? Got::end : Got::lost;
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
  const auto result =
      co_await asio::async_write(state->socket, asio::buffer(bytes.data(), bytes.size()), kTuple);
  State::disarm(state->writing);
  co_return !std::get<0>(result);
}

void Wire::write_now(std::string_view bytes) {
  boost::system::error_code ignored;
  state_->socket.non_blocking(true, ignored);
  state_->socket.write_some(asio::buffer(bytes.data(), bytes.size()), ignored);
}

bool Wire::has_more() const {
  boost::system::error_code ignored;
  return state_->socket.available(ignored) > 0;
}

// A client that only ended its side waits in CLOSE_WAIT; one that is gone resets the connection once anything
// is sent to it.
bool Wire::broken() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (!state_->socket.is_open()) return true;
  if (getsockopt(state_->socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state == TCP_CLOSE;
}

void Wire::close_write() {
  boost::system::error_code ignored;
  state_->socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void Wire::close() {
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

}  // namespace uhd
