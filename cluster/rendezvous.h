// How leader and encoders find each other and with which secret, for each way of launching them.
#pragma once

#include <string>

#include "cluster/control_client.h"
#include "cluster/control_server.h"
#include "cluster/world.h"

namespace uhd {

// Leader. Listens as the options say and tells the address to the encoder ranks of its own job, if any (these
// get a random secret over MPI when no file names one). `model` is Hello::model; `wake` as in the server's
// options. Encoders that are threads of this process use open_local_client().
struct ControlHub {
  std::string secret;
  std::unique_ptr<ControlServer> server;
};
ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               const std::string& model, std::function<void()> wake);

// Encoder rank: of the leader's job (waits for its address), or of another one (options.leader).
std::unique_ptr<ControlClient> open_control_client(World& world, const Topology& topology,
                                                   const ClusterOptions& options, Hello hello,
                                                   std::function<void()> wake);

// An encoder that is a thread of the leader's process.
std::unique_ptr<ControlClient> open_local_client(const ControlHub& hub, Hello hello,
                                                 std::function<void()> wake);

}  // namespace uhd
