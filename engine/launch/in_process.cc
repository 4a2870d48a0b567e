#include "engine/launch/in_process.h"

#include <future>
#include <thread>

#include "base/log.h"
#include "cluster/host/local_communicator.h"
#include "cluster/launch/rendezvous.h"
#include "engine/launch/encoder_rank.h"
#include "engine/launch/leader_rank.h"
#include "engine/launch/model_facts.h"

namespace uhd {

namespace {

// Runs body(stop) on a thread of its own and keeps what it throws before it calls `started`.
class RankThread {
 public:
  template <class Body>
  RankThread(std::string name, Body body)
      : thread_([this, name = std::move(name), body = std::move(body)](const std::stop_token& stop) mutable {
          bool started = false;
          try {
            body(stop, [&] {
              started = true;
              started_.set_value();
            });
          } catch (const std::exception& e) {
            log_error("a rank ended", "rank", name, "reason", e.what());
            if (!started) started_.set_exception(std::current_exception());
          }
        }) {}
  void wait_started() { started_.get_future().get(); }
  void end() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::promise<void> started_;
  std::jthread thread_;
};

class Encoders final : public EncoderThreads {
 public:
  ~Encoders() override {
    for (int i = 0; i < count(); ++i) end(i);
  }
  void add(std::unique_ptr<RankThread> thread) { threads_.push_back(std::move(thread)); }
  int count() const override { return static_cast<int>(threads_.size()); }
  void end(int encoder) override { threads_.at(static_cast<size_t>(encoder))->end(); }

 private:
  std::vector<std::unique_ptr<RankThread>> threads_;
};

// Keeps the followers' threads; they end when the leader says stop, or when its communicator is gone.
struct Ranks {
  std::vector<std::unique_ptr<RankThread>> followers;
  std::shared_ptr<Encoders> encoders;
};

std::unique_ptr<RankThread> start_follower(int index, const SharedFiles& files, const EngineOptions& options,
                                           const ClusterOptions& cluster, std::unique_ptr<Communicator> group,
                                           std::unique_ptr<PlanChannel> plans) {
  return std::make_unique<RankThread>(
      message("llm", index), [files, options, cluster, group = std::move(group), plans = std::move(plans)](
                                 const std::stop_token&, const auto& started) mutable {
        // The follower's thread takes what it holds with it, so that a leader that waits for it fails at
        // once.
        const auto own_plans = std::move(plans);
        LlmRank rank =
            make_llm_rank(*files, options, cluster, open_device(*files, options), std::move(group), false);
        started();
        follow_leader(rank, *own_plans, options, cluster, {});
      });
}

std::unique_ptr<RankThread> start_encoder(int index, const SharedFiles& files, const EngineOptions& options,
                                          const ClusterOptions& cluster, const ControlAccess& access) {
  return std::make_unique<RankThread>(
      message("encoder", index),
      [files, options, cluster, access](const std::stop_token& stop, const auto& started) {
        const RankDevice device = open_device(*files, options);
        EncoderRank rank = make_encoder_rank(*files, options, *device.backend);
        const auto client = open_local_client(
            access, cluster, encoder_hello(*files, options, *device.backend), device.transport, {});
        started();
        run_encoder(rank, *files, options, *client, [&] { return stop.stop_requested(); });
      });
}

// The options of a rank that is the index-th thread of this process.
EngineOptions on_device(EngineOptions options, int index) {
  options.backend.local_rank = index;
  return options;
}

void wait_for_encoders(const Engine& engine) {
  const TimePoint limit = Clock::now() + std::chrono::seconds(60);
  while (engine.stats().readiness == Readiness::text_only && Clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

InProcessEngine start_in_process(const EngineOptions& options, const ClusterOptions& cluster,
                                 std::function<void()> on_lost) {
  check_options(cluster);
  const SharedFiles files = std::make_shared<const ModelFiles>(open_model(options));
  require(cluster.encoder_count == 0 || files->config.vision,
          "this model has no vision tower: set encoders.count to 0");
  auto groups = make_local_communicators(cluster.tensor_parallel);
  auto plans = make_local_plan_channels(cluster.tensor_parallel);
  const auto ranks = std::make_shared<Ranks>();
  LeaderParts parts;
  parts.ranks = ranks;
  parts.on_lost = std::move(on_lost);
  for (int i = 1; i < cluster.tensor_parallel; ++i) {
    const auto at = static_cast<size_t>(i);
    ranks->followers.push_back(start_follower(i, files, on_device(options, i), cluster, std::move(groups[at]),
                                              std::move(plans[at])));
  }
  parts.plans = std::move(plans[0]);
  LlmRank rank = make_llm_rank(*files, options, cluster, open_device(*files, options), std::move(groups[0]),
                               cluster.encoder_count == 0);
  for (auto& follower : ranks->followers) follower->wait_started();
  ControlHub hub;
  if (cluster.encoder_count > 0) {
    hub = open_control_server(cluster, encoder_facts(*files, options), rank.device.transport,
                              [mailbox = parts.mailbox] { mailbox->wake(); });
    ranks->encoders = std::make_shared<Encoders>();
    for (int i = 0; i < cluster.encoder_count; ++i) {
      ranks->encoders->add(
          start_encoder(i, files, on_device(options, cluster.tensor_parallel + i), cluster, hub.access));
    }
  }
  const auto encoders = ranks->encoders;
  make_leader(parts, files, options, cluster, std::move(rank), std::move(hub.server));
  InProcessEngine started{std::make_unique<Frontend>(std::move(parts)), encoders};
  if (encoders != nullptr) wait_for_encoders(*started.engine);
  return started;
}

}  // namespace uhd
