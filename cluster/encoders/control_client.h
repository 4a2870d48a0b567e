// The ControlClient is the encoder's side of the control channel: it finds the leader, and finds it again.
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

// A Backoff gives the waiting times between attempts: 0.1 s, doubling to 5 s. A connection that worked resets
// it.
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
  Hello hello;         // the client fills in protocol, nonce and mac
  double handshake_s = 5;
  // Set this in the leader's MPI job: it makes the link to the leader. The client's thread calls it, so it
  // must not call MPI.
  std::function<std::unique_ptr<VisualLink>()> mpi_link;
  // Set this where rows can leave from device to device; the Hello then says which device that is.
  std::shared_ptr<DeviceTransport> transport;
  std::function<void()> wake;  // the client's thread calls it after it queued an event; may be empty
};

// LeaderJoined says that a leader took this encoder; jobs follow.
struct LeaderJoined {
  uint32_t encoder = 0;
  std::unique_ptr<VisualLink> link;
};
// LeaderLost tells the encoder to forget all jobs and rows; the client is already trying again.
struct LeaderLost {
  std::string reason;
};
// LeaderRefused says that the leader will never take this encoder (other settings, version or secret). The
// encoder ends with this text.
struct LeaderRefused {
  std::string reason;
};
struct ClientEvent {
  TimePoint at;
  std::variant<LeaderJoined, EncodeJob, Go, Done, Cancel, LeaderLost, LeaderRefused> what;
};

// The client has one thread of its own for sockets; all functions may be called from any thread.
class ControlClient {
 public:
  explicit ControlClient(ControlClientOptions options);
  ControlClient(ControlClientOptions options,
                std::unique_ptr<Network> network);  // takes, for tests, a simulated network
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // Returns the events since the last call, after waiting at most `wait` for one to happen.
  std::vector<ClientEvent> poll(Duration wait = Duration::zero());

  // Sends Encoded or EncodeFailed; the message is dropped while there is no leader.
  void send(const ControlMessage& message);

  // Sets the number of jobs in hand, for the heartbeats.
  void set_outstanding(uint32_t jobs);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uhd
