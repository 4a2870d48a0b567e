#include "engine/launch/launch.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/numa.h"
#include "cluster/launch/rendezvous.h"
#include "cluster/launch/world.h"
#include "engine/launch/encoder_rank.h"
#include "engine/launch/in_process.h"
#include "engine/launch/leader_rank.h"
#include "engine/launch/model_facts.h"

namespace uhd {

namespace {

// After the streams were ended with an error: time for them to reach their clients.
constexpr Duration kLastWords = std::chrono::seconds(1);

// Ends the whole job, so that what runs it starts it again. It may be called from any thread.
void end_soon(World& world) {
  std::thread([&world] {
    std::this_thread::sleep_for(kLastWords);
    log_error("this process ends, for nothing more can be computed");
    world.abort(1);
  }).detach();
}

// Acts on the loss of an LLM rank whose process has ended: the engine ends its streams, and then the job;
// before there is an engine, the job ends.
class LossHandler {
 public:
  explicit LossHandler(World& world) : world_(world) {}

  void lost(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const std::string reason = message("the process of ", name, " has ended");
    if (engine_ != nullptr) return engine_->ranks_lost(reason);
    log_error("the job ends", "reason", reason);
    world_.abort(1);
  }
  void set_engine(Frontend* engine) {
    const std::lock_guard lock(mutex_);
    engine_ = engine;
  }

 private:
  World& world_;
  std::mutex mutex_;
  Frontend* engine_ = nullptr;
};

std::vector<int> ranks_of(const World& world, const Topology& topology, Role role) {
  std::vector<int> ranks;
  for (int rank = 0; rank < world.size(); ++rank) {
    if (topology.of(rank).role == role) ranks.push_back(rank);
  }
  return ranks;
}

// A rank cannot outlive the leader of its job: nothing it holds is of use to another one.
std::unique_ptr<ProcessWatch> watch_leader(World& world, const Topology& topology) {
  return world.watch({topology.leader}, [&world](int) {
    log_error("this rank ends", "reason", "the leader's process has ended");
    world.abort(1);
  });
}

// In the leader's job it ends when the leader says so, however long that may be silent: a leader that is
// stopped or cut off comes back, one whose process has ended ends its ranks (watch_leader) or its job.
void serve_encoder(World& world, const Topology& topology, const EngineOptions& options,
                   const ClusterOptions& cluster) {
  const bool with_leader = topology.leader >= 0;
  const auto watch = with_leader ? watch_leader(world, topology) : nullptr;
  const ModelFiles files = open_model(options);
  const RankDevice device = open_device(files, options);
  EncoderRank rank = make_encoder_rank(files, options, *device.backend);
  const auto client = open_control_client(
      world, topology, cluster, encoder_hello(files, options, *device.backend), device.transport, {});
  run_encoder(rank, files, options, *client,
              [&] { return with_leader && world.told_to_end(topology.leader); });
}

void serve_follower(World& world, const Topology& topology, const EngineOptions& options,
                    const ClusterOptions& cluster, std::unique_ptr<Communicator> group, PlanChannel& plans) {
  const auto watch = watch_leader(world, topology);
  const ModelFiles files = open_model(options);
  LlmRank rank = make_llm_rank(files, options, cluster, open_device(files, options), std::move(group), false);
  follow_leader(rank, plans, options, cluster, [&world](uint64_t) { end_soon(world); });
}

void end_encoders(World& world, const Topology& topology) {
  for (int rank : ranks_of(world, topology, Role::encoder)) {
    try {
      world.tell_end(rank);
    } catch (const Error& e) {  // it may have ended long ago
      log_debug("an encoder cannot be told of the end", "rank", rank, "reason", e.what());
    }
  }
}

void serve_leader(World& world, const Topology& topology, const EngineOptions& options,
                  const ClusterOptions& cluster, std::unique_ptr<Communicator> group, LeaderParts parts,
                  const std::function<void(Engine&)>& serve) {
  LossHandler losses(world);
  const auto watch = world.watch(ranks_of(world, topology, Role::llm),
                                 [&](int rank) { losses.lost(topology.name_of(rank)); });
  const auto files = std::make_shared<const ModelFiles>(open_model(options));
  require(!uses_encoders(topology, cluster) || files->config.vision,
          "this model has no vision tower: set encoders.count to 0");
  RankDevice device = open_device(*files, options);
  ControlHub hub;
  if (uses_encoders(topology, cluster)) {
    hub = open_control_server(world, topology, cluster, encoder_facts(*files, options), device.transport,
                              [mailbox = parts.mailbox] { mailbox->wake(); });
  }
  LlmRank rank =
      make_llm_rank(*files, options, cluster, std::move(device), std::move(group), hub.server == nullptr);
  make_leader(parts, files, options, cluster, std::move(rank), std::move(hub.server));
  parts.on_lost = [&world] { end_soon(world); };
  {
    Frontend engine(std::move(parts));
    losses.set_engine(&engine);
    serve(engine);
    losses.set_engine(nullptr);
  }
  end_encoders(world, topology);
}

// Without encoders no port is opened: who set where it should be hears that it is not.
void warn_of_unused(const Topology& topology, const ClusterOptions& cluster) {
  if (topology.leader < 0 || uses_encoders(topology, cluster)) return;
  const auto warn = [](bool set, const char* name) {
    if (set) log_warning("a setting is not used, for encoders.count is 0", "setting", name);
  };
  warn(cluster.control_port != 0, "cluster.control_port");
  warn(!cluster.secret_file.empty(), "cluster.secret_file");
  warn(cluster.link != "auto", "cluster.link");
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
  if (world.size() > 1) set_log_name(topology.name_of(world.rank()));
  stay_on_node(world.local_rank(), world.local_size());  // before there are threads
  if (world.rank() == std::max(topology.leader, 0)) warn_of_unused(topology, cluster);
  const bool alone = world.size() == 1 && topology.llm_ranks == 1;
  if (alone && (topology.encoder_threads > 0 || !uses_encoders(topology, cluster))) {
    const InProcessEngine started = start_in_process(options, cluster, [&world] { end_soon(world); });
    serve(*started.engine);
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
    serve_follower(world, topology, options, cluster, std::move(group), *parts.plans);
  }
}

}  // namespace uhd
