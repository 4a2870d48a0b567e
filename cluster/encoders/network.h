// Connections that carry frames, timers, and the one thread they live on. Asio is behind it; tests put a
// simulated network with a clock of their own in its place.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cluster/frame.h"

namespace uhd {

// Used on the network's thread only. A peer that sends anything but well-formed frames of types and lengths
// that are acceptable now is cut off.
class Connection {
 public:
  struct Handler {
    // The most payload bytes a frame of this type may have now; negative: not acceptable now. Asked before
    // anything is allocated.
    std::function<int64_t(FrameType)> limit;
    // Checked; an Error thrown here closes the connection with its text.
    std::function<void(FrameType, std::vector<std::byte> payload)> frame;
    // Once, last; also after close().
    std::function<void(const std::string& reason)> closed;
  };
  virtual ~Connection() = default;
  // Begins to read.
  virtual void start(Handler handler) = 0;
  // Queues a whole frame. A peer that takes nothing while the queue grows past its limit is cut off.
  virtual void send(std::vector<std::byte> frame) = 0;
  // What is queued is still sent, for a short time.
  virtual void close(const std::string& reason) = 0;
  virtual std::string peer() const = 0;  // address, for logs
};

using ConnectionPtr = std::shared_ptr<Connection>;

class Network {
 public:
  virtual ~Network() = default;
  // From any thread: runs it on the network's thread. After stop(): nothing.
  virtual void post(std::function<void()> act) = 0;
  // Closes everything and joins the thread; no function is called any more. Not from the network's thread.
  virtual void stop() = 0;

  // The rest on the network's thread, but for listen(), which is called before any connection can be.
  virtual TimePoint now() const = 0;
  virtual void after(Duration delay, std::function<void()> act) = 0;
  // Listens at once and returns the port; an address that cannot be bound is an Error.
  virtual int listen(const std::string& host, int port, std::function<void(ConnectionPtr)> accepted) = 0;
  // Calls back with a connection, or with null and the reason.
  virtual void connect(const std::string& address, Duration limit,
                       std::function<void(ConnectionPtr, const std::string& error)> done) = 0;
};

std::unique_ptr<Network> make_network();

// "host:port" or "[v6]:port"; anything else is an Error.
struct Address {
  std::string host;
  int port = 0;
};
Address parse_address(const std::string& text);
std::string format_address(const Address& address);

}  // namespace uhd
