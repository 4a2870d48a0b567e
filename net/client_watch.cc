#include "net/client_watch.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace uhd {
namespace {

namespace asio = boost::asio;

constexpr size_t kReadAhead = 64 << 10;  // of requests that come before the answer to the last one
constexpr size_t kAtOnce = 4096;
constexpr double kBeforeProbe_s = 1;  // a quick answer is a probe too
constexpr double kAfterProbe_s = 0.25;
constexpr double kBetweenProbes_s = 5;

}  // namespace

Task<void> ClientWatch::run() {
  while (wire_.unread().size() + kAtOnce <= kReadAhead) {
    const Wire::Got got = co_await wire_.read(kAtOnce);
    if (got == Wire::Got::end) co_await watch_half_closed();
    if (got != Wire::Got::bytes) co_return;
  }
  asio::steady_timer never(wire_.executor(), asio::steady_timer::time_point::max());
  co_await never.async_wait(asio::as_tuple(asio::use_awaitable));
}

Task<void> ClientWatch::watch_half_closed() {
  half_closed_ = true;
  for (double wait = kBeforeProbe_s;; wait = kBetweenProbes_s) {
    co_await rest(wait);
    probe_();
    co_await rest(kAfterProbe_s);
    if (wire_.broken()) co_return;
  }
}

Task<void> ClientWatch::rest(double seconds) const {
  asio::steady_timer timer(wire_.executor(), from_seconds(seconds));
  co_await timer.async_wait(asio::use_awaitable);
}

void send_interim(Wire& wire) { wire.write_now("HTTP/1.1 100 Continue\r\n\r\n"); }

}  // namespace uhd
