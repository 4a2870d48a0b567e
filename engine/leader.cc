#include "engine/leader.h"

#include <thread>

#include "cluster/rendezvous.h"
#include "cluster/world.h"
#include "engine/in_process.h"
#include "engine/rank.h"

namespace uhd {

namespace {

// After the streams were ended with an error: time for them to reach their clients.
constexpr Duration kLastWords = std::chrono::seconds(1);
// In one job an encoder's leader does not come back: its end is the job's end.
constexpr Duration kLeaderGone = std::chrono::seconds(2);

// A lost rank ends the job: what runs it starts it again. From any thread.
void end_job(World& world) {
  std::thread([&world] {
    std::this_thread::sleep_for(kLastWords);
    world.abort(1);
  }).detach();
}

void serve_encoder(World& world, const Topology& topology, const EngineOptions& options,
                   const ClusterOptions& cluster) {
  const ModelFiles files = open_model(options);
  const RankDevice device = open_device(files, options);
  const auto client = open_control_client(world, topology, cluster, encoder_hello(files, *device.backend),
                                          device.transport, {});
  run_encoder(files, options, *device.backend, *client, topology.leader >= 0 ? kLeaderGone : Duration::zero(),
              {});
}

void serve_leader(World& world, const Topology& topology, const EngineOptions& options,
                  const ClusterOptions& cluster, std::unique_ptr<Communicator> group, LeaderParts parts,
                  const std::function<void(Engine&)>& serve) {
  const auto files = std::make_shared<const ModelFiles>(open_model(options));
  require(!uses_encoders(topology, cluster) || files->config.vision,
          "this model has no vision tower: set encoders to 0");
  RankDevice device = open_device(*files, options);
  ControlHub hub;
  if (uses_encoders(topology, cluster)) {
    hub = open_control_server(world, topology, cluster, files->identity, device.transport,
                              [mailbox = parts.mailbox] { mailbox->wake(); });
  }
  LlmRank rank =
      make_llm_rank(*files, options, cluster, std::move(device), std::move(group), hub.server == nullptr);
  make_leader(parts, files, options, cluster, std::move(rank), std::move(hub.server));
  if (world.size() > 1) parts.on_lost = [&world] { end_job(world); };
  LeaderLoop engine(std::move(parts));
  serve(engine);
}

}  // namespace

std::unique_ptr<Engine> make_engine(const EngineOptions& options, const ClusterOptions& cluster) {
  return start_in_process(options, cluster).engine;
}

void run_rank(World& world, const EngineOptions& given, const ClusterOptions& cluster,
              const std::function<void(Engine&)>& serve) {
  EngineOptions options = given;
  options.backend.local_rank = world.local_rank();
  const Topology topology = world.agree_topology(cluster);
  const bool alone = world.size() == 1 && topology.llm_ranks == 1;
  if (alone && (topology.encoder_threads > 0 || !uses_encoders(topology, cluster))) {
    serve(*make_engine(options, cluster));
    return;
  }
  LeaderParts parts;
  std::unique_ptr<Communicator> group = world.tensor_parallel(topology);
  parts.plans = world.plan_channel(topology);
  const Place place = topology.of(world.rank());
  if (place.role == Role::encoder) {
    serve_encoder(world, topology, options, cluster);
  } else if (place.index == 0) {
    serve_leader(world, topology, options, cluster, std::move(group), std::move(parts), serve);
  } else {
    const ModelFiles files = open_model(options);
    LlmRank rank =
        make_llm_rank(files, options, cluster, open_device(files, options), std::move(group), false);
    follow_leader(rank, *parts.plans, options, cluster, [&world](uint64_t) { end_job(world); });
  }
}

}  // namespace uhd
