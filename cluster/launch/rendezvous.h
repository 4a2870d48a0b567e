// How leader and encoders find each other and with which secret, for each way of launching them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/encoders/control_client.h"
#include "cluster/encoders/control_server.h"
#include "cluster/launch/world.h"

namespace uhd {

// Whether encoders are wanted at all: of this job, as threads, or (role llm) of other jobs. Without them the
// LLM ranks encode, and no port is opened.
bool uses_encoders(const Topology& topology, const ClusterOptions& options);

// What an encoder needs to connect to the leader.
struct ControlAccess {
  std::string address;        // for other hosts
  std::string local_address;  // for the leader's own process
  std::string secret;
};
struct ControlHub {
  ControlAccess access;
  std::unique_ptr<ControlServer> server;
};

// Leader; early at start, for the encoder ranks of its job wait for it. Listens as the options say and tells
// these ranks the address. There is always a secret, since any user of a host can reach its loopback: the
// file's; else a random one, which goes to the ranks over MPI; else, for encoders of other jobs on this host,
// the user's own (own_secret). `facts`, `transport` (null: none) and `wake` as in the server's options.
ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               Facts facts, std::shared_ptr<DeviceTransport> transport,
                               std::function<void()> wake);

// The same where every rank is a thread of this process. Its encoders are told by ControlHub::access; others
// can come only where a file names the secret.
ControlHub open_control_server(const ClusterOptions& options, Facts facts,
                               std::shared_ptr<DeviceTransport> transport, std::function<void()> wake);

// Encoder rank of the leader's job (waits for its address), or of another one (options.leader). Of `hello`,
// facts, backend and capacity are the caller's.
std::unique_ptr<ControlClient> open_control_client(World& world, const Topology& topology,
                                                   const ClusterOptions& options, Hello hello,
                                                   std::shared_ptr<DeviceTransport> transport,
                                                   std::function<void()> wake);

// An encoder that is a thread of the leader's process.
std::unique_ptr<ControlClient> open_local_client(const ControlAccess& access, const ClusterOptions& options,
                                                 Hello hello, std::shared_ptr<DeviceTransport> transport,
                                                 std::function<void()> wake);

}  // namespace uhd
