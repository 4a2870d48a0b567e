// A Network has connections that carry frames, timers, and the one thread they live on. Asio is behind it;
// tests replace it by a simulated network with a clock of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cluster/frame.h"

namespace uhd {

// A connection is used on the network's thread only. A peer that sends anything but well-formed frames of
// types and lengths that are acceptable now is cut off.
class Connection {
 public:
  struct Handler {
    // Returns the most payload bytes that a frame of this type may have now; a negative number means not
    // acceptable now. It is called before anything is allocated.
    std::function<int64_t(FrameType)> limit;
    // Receives a checked frame; an Error thrown here closes the connection with its text.
    std::function<void(FrameType, std::vector<std::byte> payload)> frame;
    // Is called once, last, and also after close().
    std::function<void(const std::string& reason)> closed;
  };
  virtual ~Connection() = default;
  // Begins to read.
  virtual void start(Handler handler) = 0;
  // Queues a whole frame. A peer that takes nothing while the queue grows past its limit is cut off.
  virtual void send(std::vector<std::byte> frame) = 0;
  // Closes the connection. Frames that are queued are still sent, for a short time.
  virtual void close(const std::string& reason) = 0;
  virtual std::string peer() const = 0;  // the address, for logs
};

using ConnectionPtr = std::shared_ptr<Connection>;

class Network {
 public:
  virtual ~Network() = default;
  // Runs the function on the network's thread. Any thread may call it. After stop() it does nothing.
  virtual void post(std::function<void()> act) = 0;
  // Closes everything and joins the thread; afterwards no function is called any more. The network's own
  // thread must not call it.
  virtual void stop() = 0;

  // The remaining functions run on the network's thread, except listen(), which is called before any
  // connection can exist.
  virtual TimePoint now() const = 0;
  virtual void after(Duration delay, std::function<void()> act) = 0;
  // Listens at once and returns the port. An address that cannot be bound is an Error.
  virtual int listen(const std::string& host, int port, std::function<void(ConnectionPtr)> accepted) = 0;
  // Calls back with a connection, or with null and the reason.
  virtual void connect(const std::string& address, Duration limit,
                       std::function<void(ConnectionPtr, const std::string& error)> done) = 0;
};

std::unique_ptr<Network> make_network();

// An address is "host:port" or "[v6]:port"; anything else is an Error.
struct Address {
  std::string host;
  int port = 0;
};
Address parse_address(const std::string& text);
std::string format_address(const Address& address);

}  // namespace uhd
