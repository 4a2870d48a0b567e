#include "cluster/launch/rendezvous.h"

#include "base/error.h"
#include "base/log.h"
#include "cluster/encoders/secret.h"

namespace uhd {
namespace {

// An encoder rank may wait this long for a leader of its job that is still starting.
constexpr Duration kLeaderLimit = std::chrono::minutes(30);

// Encoders of other jobs can come only where one was launched by role, and need a known port.
bool expects_strangers(const Topology& t, const ClusterOptions& o) {
  return t.encoder_ranks == 0 && t.encoder_threads == 0 && o.encoder_count > 0;
}

std::string secret_for(const Topology& topology, const ClusterOptions& options) {
  if (!options.secret_file.empty()) return read_secret(options.secret_file);
  if (!expects_strangers(topology, options)) return random_secret();
  require(is_loopback(options.control_host), "other hosts can reach cluster.control_host ",
          options.control_host, "; set cluster.secret_file");
  return own_secret();
}

// Returns the secret of an encoder whose leader is in another job.
std::string secret_of_stranger(const ClusterOptions& options) {
  if (!options.secret_file.empty()) return read_secret(options.secret_file);
  require(is_loopback(parse_address(options.leader).host), "the leader is on another host (cluster.leader ",
          options.leader, "); set cluster.secret_file");
  return own_secret();
}

void check_reachable(const World& world, const Topology& topology, const ClusterOptions& options) {
  if (!is_loopback(options.control_host)) return;
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::string& host = world.hosts()[static_cast<size_t>(rank)];
    require(topology.of(rank).role != Role::encoder || host == world.host(), topology.name_of(rank),
            " runs on ", host, " and cannot reach the leader's cluster.control_host ", options.control_host,
            "; set it to an address of ", world.host());
  }
}

void check_link(const ClusterOptions& options, bool encoders_of_this_job) {
  require(options.link != "mpi" || encoders_of_this_job,
          "cluster.link is mpi, but no encoder is a rank of the leader's job; it can be auto or tcp");
}

// All but the secret and the links over MPI.
ControlServerOptions server_options(const ClusterOptions& options, Facts facts,
                                    std::shared_ptr<DeviceTransport> transport, std::function<void()> wake) {
  ControlServerOptions server;
  server.host = options.control_host;
  server.port = options.control_port;
  server.facts = std::move(facts);
  server.heartbeat_s = options.heartbeat_s;
  server.lost_after_s = options.lost_after_s;
  server.wake = std::move(wake);
  if (options.link == "auto") server.transport = std::move(transport);
  return server;
}

// The host to connect to, for a server that listens on every address.
std::string reachable_host(const ClusterOptions& options, const std::string& instead_of_any) {
  const bool any = options.control_host == "0.0.0.0" || options.control_host == "::";
  return any ? instead_of_any : options.control_host;
}

ControlHub listen(const ClusterOptions& options, ControlServerOptions server, const std::string& host) {
  ControlHub hub;
  hub.access.secret = server.secret;
  hub.server = std::make_unique<ControlServer>(std::move(server));
  const int port = hub.server->port();
  hub.access.address = format_address({reachable_host(options, host), port});
  hub.access.local_address = format_address({reachable_host(options, "127.0.0.1"), port});
  log_info("listening for encoders", "address", hub.access.address);
  return hub;
}

}  // namespace

bool uses_encoders(const Topology& topology, const ClusterOptions& options) {
  return options.encoder_count > 0 || topology.encoder_ranks > 0;
}

ControlHub open_control_server(World& world, const Topology& topology, const ClusterOptions& options,
                               Facts facts, std::shared_ptr<DeviceTransport> transport,
                               std::function<void()> wake) {
  check(world.rank() == topology.leader, "only the leader listens for encoders");
  check_reachable(world, topology, options);
  check_link(options, topology.encoder_ranks > 0);
  auto server = server_options(options, std::move(facts), std::move(transport), std::move(wake));
  server.secret = secret_for(topology, options);
  if (options.link != "tcp" && world.size() > 1) {
    server.mpi_link = [&world, topology](int rank) -> std::unique_ptr<VisualLink> {
      const bool encoder = rank < world.size() && topology.of(rank).role == Role::encoder;
      return encoder ? world.visual_receiver(rank) : nullptr;
    };
  }
  ControlHub hub = listen(options, std::move(server), world.host());
  for (int rank = 0; rank < world.size(); ++rank) {
    if (topology.of(rank).role == Role::encoder) {
      world.send_text(hub.access.address, rank);
      world.send_text(hub.access.secret, rank);
    }
  }
  return hub;
}

ControlHub open_control_server(const ClusterOptions& options, Facts facts,
                               std::shared_ptr<DeviceTransport> transport, std::function<void()> wake) {
  check_link(options, false);
  auto server = server_options(options, std::move(facts), std::move(transport), std::move(wake));
  server.secret = options.secret_file.empty() ? random_secret() : read_secret(options.secret_file);
  return listen(options, std::move(server), "127.0.0.1");
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
    require(options.link != "mpi",
            "cluster.link is mpi, but the leader is in another job; it can be auto or tcp");
    client.leader = options.leader;
    client.secret = secret_of_stranger(options);
  }
  return std::make_unique<ControlClient>(std::move(client));
}

std::unique_ptr<ControlClient> open_local_client(const ControlAccess& access, const ClusterOptions& options,
                                                 Hello hello, std::shared_ptr<DeviceTransport> transport,
                                                 std::function<void()> wake) {
  ControlClientOptions client;
  client.leader = access.local_address;
  client.secret = access.secret;
  if (options.link == "auto") client.transport = std::move(transport);
  client.hello = std::move(hello);
  client.hello.host = "this process";
  client.wake = std::move(wake);
  return std::make_unique<ControlClient>(std::move(client));
}

}  // namespace uhd
