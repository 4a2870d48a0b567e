// How leader and encoders find each other and with which secret, for each way of launching them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/control_client.h"
#include "cluster/control_server.h"
#include "cluster/world.h"

namespace uhd {

// Whether encoders are wanted at all: of this job, as threads, or (role llm) of other jobs. Without them the
// LLM ranks encode, and no port is opened.
bool uses_encoders(const Topology& topology, const ClusterOptions& options);

// The leader's server, and what a thread of its process needs to connect to it.
struct ControlHub {
  std::string address;        // for other hosts
  std::string local_address;  // for this process
  std::string secret;
  std::unique_ptr<ControlServer> server;
};

// Leader; early at start, for the encoder ranks of its job wait for it. Listens as the options say and tells
// these ranks the address. When no file names a secret and no encoder of another job can come, the secret is
// random and goes to them over MPI. `model` is Hello::model; `transport` (null: none) and `wake` as in the
// server's options.
ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               const std::string& model, std::shared_ptr<DeviceTransport> transport,
                               std::function<void()> wake);

// Encoder rank of the leader's job (waits for its address), or of another one (options.leader). Of `hello`,
// model, backend and capacity are the caller's.
std::unique_ptr<ControlClient> open_control_client(World& world, const Topology& topology,
                                                   const ClusterOptions& options, Hello hello,
                                                   std::shared_ptr<DeviceTransport> transport,
                                                   std::function<void()> wake);

// An encoder that is a thread of the leader's process.
std::unique_ptr<ControlClient> open_local_client(const ControlHub& hub, Hello hello,
                                                 std::function<void()> wake);

}  // namespace uhd
