// A Wire moves one connection's bytes: it reads and writes with deadlines, by coroutines. Asio stays in the
// .cc files.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"

namespace boost::asio {
class any_io_executor;
class io_context;
namespace ssl {
class context;
}
template <typename T, typename Executor>
class awaitable;
}  // namespace boost::asio

namespace uhd {

template <class T>
using Task = boost::asio::awaitable<T, boost::asio::any_io_executor>;

// All functions are called on the wire's own strand. One read and one write may be under way at a time.
class Wire {
 public:
  // Takes over an accepted socket of this family (AF_INET, ...). With `tls`, bytes are those inside TLS.
  Wire(boost::asio::io_context& io, int socket, int family, std::shared_ptr<boost::asio::ssl::context> tls);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  boost::asio::any_io_executor executor() const;

  // Shakes hands where TLS is spoken; comes first. Returns false if the client does not by the deadline.
  Task<bool> meet(TimePoint deadline);

  enum class Got : uint8_t {
    bytes,
    end,          // the client sends no more; it may still read (over TLS it is lost then)
    late,         // the deadline came first
    interrupted,  // interrupt() was called
    lost,         // the connection is broken or closed
  };
  // Waits until at least one byte has come, and appends at most `most` of them to the unread bytes. An end is
  // told to every read from then on.
  Task<Got> read(size_t most, TimePoint deadline = TimePoint::max());
  std::string_view unread() const;
  void consume(size_t bytes);
  // Ends the read under way, or the next one, unless resume() comes first.
  void interrupt();
  void resume();

  // Returns false when the connection was lost, or did not take all bytes in time.
  Task<bool> write(std::string_view bytes, double limit_s);
  // Writes as much as the connection takes at once; over TLS nothing. No write may be under way.
  void write_now(std::string_view bytes);

  bool has_more() const;  // true if bytes have come that were not read yet
  bool broken() const;    // true if the client's side is gone altogether, as far as is known
  // Says that nothing follows; over TLS the client has a second to say the same, and what is read afterwards
  // are bytes as they come, to be dropped.
  Task<void> close_write();
  void close();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace uhd
