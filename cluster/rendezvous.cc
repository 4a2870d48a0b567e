#include "cluster/rendezvous.h"

#include "base/error.h"
#include "base/log.h"
#include "cluster/secret.h"

namespace uhd {
namespace {

// An encoder rank may wait this long for a leader of its job that is still starting.
constexpr Duration kLeaderLimit = std::chrono::minutes(30);

// Encoders of other jobs can come only where one was launched by role, and need a known port.
bool expects_strangers(const Topology& t, const ClusterOptions& o) {
  return t.encoder_ranks == 0 && t.encoder_threads == 0 && o.encoders > 0;
}

std::string secret_for(const Topology& topology, const ClusterOptions& options) {
  if (!options.secret_file.empty()) return read_secret(options.secret_file);
  if (!expects_strangers(topology, options)) return random_secret();
  require(is_loopback(options.control_host), "encoders of other jobs can reach control_host ",
          options.control_host, "; set secret_file");
  return "";
}

void check_reachable(const World& world, const Topology& topology, const ClusterOptions& options) {
  if (!is_loopback(options.control_host)) return;
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::string& host = world.hosts()[static_cast<size_t>(rank)];
    require(topology.of(rank).role != Role::encoder || host == world.host(), topology.name_of(rank),
            " runs on ", host, " and cannot reach the leader's control_host ", options.control_host,
            "; set it to an address of ", world.host());
  }
}

// The host to connect to, for a server that listens on every address.
std::string reachable_host(const ClusterOptions& options, const std::string& instead_of_any) {
  const bool any = options.control_host == "0.0.0.0" || options.control_host == "::";
  return any ? instead_of_any : options.control_host;
}

}  // namespace

bool uses_encoders(const Topology& topology, const ClusterOptions& options) {
  return options.encoders > 0 || topology.encoder_ranks > 0;
}

ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               const std::string& model, std::shared_ptr<DeviceTransport> transport,
                               std::function<void()> wake) {
  check(world.rank() == topology.leader, "only the leader listens for encoders");
  check_reachable(world, topology, options);
  require(options.link != "mpi" || topology.encoder_ranks > 0,
          "link is mpi, but no encoder is a rank of the leader's job; it can be auto or tcp");
  ControlHub hub;
  hub.secret = secret_for(topology, options);
  ControlServerOptions server;
  server.host = options.control_host;
  server.port = options.control_port;
  server.secret = hub.secret;
  server.model = model;
  server.heartbeat_s = options.heartbeat_s;
  server.lost_after_s = options.lost_after_s;
  server.wake = std::move(wake);
  if (options.link == "auto") server.transport = std::move(transport);
  if (options.link != "tcp" && world.size() > 1) {
    server.mpi_link = [&world, topology](int rank) -> std::unique_ptr<VisualLink> {
      const bool encoder = rank < world.size() && topology.of(rank).role == Role::encoder;
      return encoder ? world.visual_receiver(rank) : nullptr;
    };
  }
  hub.server = std::make_unique<ControlServer>(std::move(server));
  hub.address = format_address({reachable_host(options, world.host()), hub.server->port()});
  hub.local_address = format_address({reachable_host(options, "127.0.0.1"), hub.server->port()});
  log_info("listening for encoders", "address", hub.address);
  for (int rank = 0; rank < world.size(); ++rank) {
    if (topology.of(rank).role == Role::encoder) {
      world.send_text(hub.address, rank);
      world.send_text(hub.secret, rank);
    }
  }
  return hub;
}

std::unique_ptr<ControlClient> open_control_client(World& world, const Topology& topology,
                                                   const ClusterOptions& options, Hello hello,
                                                   std::shared_ptr<DeviceTransport> transport,
                                                   std::function<void()> wake) {
  ControlClientOptions client;
  client.hello = std::move(hello);
  client.hello.host = world.host();
  if (options.link == "auto") client.transport = std::move(transport);
  client.wake = std::move(wake);
  if (topology.leader >= 0) {
    client.leader = world.receive_text(topology.leader, kLeaderLimit);
    client.secret = world.receive_text(topology.leader, kLeaderLimit);
    if (options.link != "tcp") {
      client.hello.world_rank = world.rank();
      client.mpi_link = [&world, leader = topology.leader] { return world.visual_sender(leader); };
    }
  } else {
    require(options.link != "mpi", "link is mpi, but the leader is in another job; it can be auto or tcp");
    client.leader = options.leader;
    if (!options.secret_file.empty()) client.secret = read_secret(options.secret_file);
  }
  return std::make_unique<ControlClient>(std::move(client));
}

std::unique_ptr<ControlClient> open_local_client(const ControlHub& hub, Hello hello,
                                                 std::function<void()> wake) {
  ControlClientOptions client;
  client.leader = hub.local_address;
  client.secret = hub.secret;
  client.hello = std::move(hello);
  client.hello.host = "this process";
  client.wake = std::move(wake);
  return std::make_unique<ControlClient>(std::move(client));
}

}  // namespace uhd
