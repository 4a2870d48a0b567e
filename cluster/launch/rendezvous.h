// Leader and encoders find each other, and agree on a secret, for each way of launching them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/encoders/control_client.h"
#include "cluster/encoders/control_server.h"
#include "cluster/launch/world.h"

namespace uhd {

// Returns true if encoders are wanted at all: encoders of this job, encoders as threads, or (role llm)
// encoders of other jobs. Without them the LLM ranks encode, and no port is opened.
bool uses_encoders(const Topology& topology, const ClusterOptions& options);

// An encoder needs these to connect to the leader.
struct ControlAccess {
  std::string address;        // the address for other hosts
  std::string local_address;  // the address for the leader's own process
  std::string secret;
};
struct ControlHub {
  ControlAccess access;
  std::unique_ptr<ControlServer> server;
};

// Opens the leader's server. Call it early at start, because the encoder ranks of its job wait for it. It
// listens as the options say and tells these ranks the address. There is always a secret, because any user of
// a host can reach its loopback: the file's; else a random one, which goes to the ranks over MPI; else, for
// encoders of other jobs on this host, the user's own (own_secret). `facts`, `transport` (null: none) and
// `wake` are those of the server's options.
ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               Facts facts, std::shared_ptr<DeviceTransport> transport,
                               std::function<void()> wake);

// Does the same where every rank is a thread of this process. Its encoders are told by ControlHub::access;
// others can come only where a file names the secret.
ControlHub open_control_server(const ClusterOptions& options, Facts facts,
                               std::shared_ptr<DeviceTransport> transport, std::function<void()> wake);

// Opens the client of an encoder rank of the leader's job (it waits for the leader's address), or of another
// job (options.leader). The caller fills in the facts, backend and capacity of `hello`.
std::unique_ptr<ControlClient> open_control_client(World& world, const Topology& topology,
                                                   const ClusterOptions& options, Hello hello,
                                                   std::shared_ptr<DeviceTransport> transport,
                                                   std::function<void()> wake);

// Opens the client of an encoder that is a thread of the leader's process.
std::unique_ptr<ControlClient> open_local_client(const ControlAccess& access, const ClusterOptions& options,
                                                 Hello hello, std::shared_ptr<DeviceTransport> transport,
                                                 std::function<void()> wake);

}  // namespace uhd
