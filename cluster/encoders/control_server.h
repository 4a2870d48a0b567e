// The ControlServer is the leader's side of the control channel: it listens for encoders and keeps one
// connection with each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "cluster/device_transport.h"
#include "cluster/encoders/messages.h"
#include "cluster/encoders/network.h"
#include "cluster/visual_link.h"

namespace uhd {

using EncoderId = uint32_t;  // a server never uses one twice: an encoder that comes back is a new one

struct ControlServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;        // 0 means any free port
  std::string secret;  // never empty: any user of this host can reach its loopback
  Facts facts;         // the facts that an encoder must share
  double heartbeat_s = 1;
  double lost_after_s = 5;
  double handshake_s = 5;  // a connection that has not proved itself by then is closed
  int max_encoders = 256;
  // Set this where encoders may be ranks of the same MPI job: it makes the link to that world rank. The
  // server's thread calls it, so it must not call MPI.
  std::function<std::unique_ptr<VisualLink>(int world_rank)> mpi_link;
  // Set this where rows may come from device to device; it serves encoders whose device is not the leader's.
  std::shared_ptr<DeviceTransport> transport;
  // The server's thread calls this after it queued an event, to wake the engine. It may be empty.
  std::function<void()> wake;
};

// EncoderJoined says that the encoder is known and its link is up: it can be given jobs.
struct EncoderJoined {
  Hello hello;
  std::unique_ptr<VisualLink> link;
};
struct EncoderLeft {
  std::string reason;
};
struct ServerEvent {
  EncoderId encoder = 0;
  TimePoint at;  // the time when it happened, not when it was polled
  std::variant<EncoderJoined, Encoded, EncodeFailed, Heartbeat, EncoderLeft> what;
};

// The server has one thread of its own for sockets; all functions may be called from any thread. For each
// encoder, Joined comes first and Left last, exactly once each, and the messages come between them in order.
class ControlServer {
 public:
  // Listens when it returns. A port that cannot be bound is an Error that names it.
  explicit ControlServer(ControlServerOptions options);
  ControlServer(ControlServerOptions options,
                std::unique_ptr<Network> network);  // takes, for tests, a simulated network
  // Closes every connection. Links that EncoderJoined handed out fail, and may safely outlive the server.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  int port() const;

  // Returns the events since the last call.
  std::vector<ServerEvent> poll();

  // Queues a message (EncodeJob, Go, Done, Cancel). A message to an encoder that has left is dropped; its
  // Left event is on the way.
  void send(EncoderId encoder, const ControlMessage& message);

  // Ends the connection; EncoderLeft follows with this reason.
  void close(EncoderId encoder, const std::string& reason);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
