// The leader's side of the control channel: listens for encoders, keeps one connection with each.
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

using EncoderId = uint32_t;  // never used twice by a server: an encoder that comes back is a new one

struct ControlServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;        // 0: any free one
  std::string secret;  // never empty: any user of this host can reach its loopback
  Facts facts;         // that an encoder must share
  double heartbeat_s = 1;
  double lost_after_s = 5;
  double handshake_s = 5;  // a connection that has not proved itself by then is closed
  int max_encoders = 256;
  // Set where encoders may be ranks of the same MPI job: makes the link to that world rank. Called on the
  // server's thread; must not call MPI.
  std::function<std::unique_ptr<VisualLink>(int world_rank)> mpi_link;
  // Set where rows may come from device to device: for encoders whose device is another than the leader's.
  std::shared_ptr<DeviceTransport> transport;
  // Called on the server's thread after an event was queued: wakes the engine. May be empty.
  std::function<void()> wake;
};

// The encoder is known, its link is up: it can be given jobs.
struct EncoderJoined {
  Hello hello;
  std::unique_ptr<VisualLink> link;
};
struct EncoderLeft {
  std::string reason;
};
struct ServerEvent {
  EncoderId encoder = 0;
  TimePoint at;  // when it happened, not when it was polled
  std::variant<EncoderJoined, Encoded, EncodeFailed, Heartbeat, EncoderLeft> what;
};

// Has one thread of its own for sockets; all functions may be called from any thread. Of one encoder, Joined
// comes first and Left last, exactly once each; messages in between in order.
class ControlServer {
 public:
  // Listens when it returns. A port that cannot be bound is an Error that names it.
  explicit ControlServer(ControlServerOptions options);
  ControlServer(ControlServerOptions options,
                std::unique_ptr<Network> network);  // for tests: a simulated one
  // Closes every connection. Links handed out by EncoderJoined outlive it safely, failed.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  int port() const;

  // What has happened since the last call.
  std::vector<ServerEvent> poll();

  // Queues a message (EncodeJob, Go, Done, Cancel); to an encoder that has left it is dropped, its Left event
  // is on the way.
  void send(EncoderId encoder, const ControlMessage& message);

  // Ends the connection; EncoderLeft follows with this reason.
  void close(EncoderId encoder, const std::string& reason);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
