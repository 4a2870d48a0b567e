// The encoder's side of the control channel: finds the leader, and finds it again.
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

// Waiting times between attempts: 0.1 s, doubling to 5 s; reset by a connection that worked.
class Backoff {
 public:
  Duration next();
  void reset() { seconds_ = kFirst; }

 private:
  static constexpr double kFirst = 0.1;
  static constexpr double kLast = 5;
  double seconds_ = kFirst;
};

struct ControlClientOptions {
  std::string leader;  // host:port
  std::string secret;  // never empty
  Hello hello;         // protocol, nonce and mac are filled in by the client
  double handshake_s = 5;
  // Set in the leader's MPI job: makes the link to the leader. Called on the client's thread; must not call
  // MPI.
  std::function<std::unique_ptr<VisualLink>()> mpi_link;
  // Set where rows can leave from device to device; says in the Hello which device that is.
  std::shared_ptr<DeviceTransport> transport;
  std::function<void()> wake;  // called on the client's thread after an event was queued; may be empty
};

// A leader took this encoder; jobs follow.
struct LeaderJoined {
  uint32_t encoder = 0;
  std::unique_ptr<VisualLink> link;
};
// Forget all jobs and rows; the client is already trying again.
struct LeaderLost {
  std::string reason;
};
// The leader will never take this encoder (other settings, version or secret): end with this text.
struct LeaderRefused {
  std::string reason;
};
struct ClientEvent {
  TimePoint at;
  std::variant<LeaderJoined, EncodeJob, Go, Done, Cancel, LeaderLost, LeaderRefused> what;
};

// Has one thread of its own for sockets; all functions may be called from any thread.
class ControlClient {
 public:
  explicit ControlClient(ControlClientOptions options);
  ControlClient(ControlClientOptions options,
                std::unique_ptr<Network> network);  // for tests: a simulated one
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // What has happened since the last call; `wait` is how long to wait for something to happen.
  std::vector<ClientEvent> poll(Duration wait = Duration::zero());

  // Encoded or EncodeFailed; dropped while there is no leader.
  void send(const ControlMessage& message);

  // Jobs in hand, for the heartbeats.
  void set_outstanding(uint32_t jobs);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
