#include "cluster/host/mpi_plan_channel.h"

#include "base/error.h"
#include "cluster/frame.h"
#include "cluster/idle_wait.h"

namespace uhd {
namespace {

constexpr int kTag = 0;

class MpiPlanChannel final : public PlanChannel {
 public:
  explicit MpiPlanChannel(MpiGroup group) : group_(std::move(group)) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }

  void send(std::span<const std::byte> plan) override {
    check(rank() == 0, "only the leader sends plans");
    check(plan.size() <= kMaxPlanBytes, "a plan of ", plan.size(), " bytes is over the limit");
    const auto frame = write_frame(FrameType::step_plan, plan);
    for (int peer = 1; peer < size(); ++peer) group_.send(frame.data(), frame.size(), peer, kTag);
  }

  std::optional<std::vector<std::byte>> receive(Duration limit) override {
    check(rank() > 0, "the leader receives no plans");
    IdleWait wait;
    auto bytes = group_.probe(0, kTag);
    while (!bytes) {
      if (wait.waited() >= limit) return std::nullopt;
      wait.once();
      bytes = group_.probe(0, kTag);
    }
    require(*bytes <= kFrameHeaderBytes + kMaxPlanBytes, "a plan of ", *bytes, " bytes is over the limit");
    std::vector<std::byte> frame(*bytes);
    group_.receive(frame.data(), frame.size(), 0, kTag);
    const auto plan = read_frame(FrameType::step_plan, frame, kMaxPlanBytes);
    return std::vector<std::byte>(plan.begin(), plan.end());
  }

 private:
  MpiGroup group_;
};

}  // namespace

std::unique_ptr<PlanChannel> make_mpi_plan_channel(MpiGroup group) {
  return std::make_unique<MpiPlanChannel>(std::move(group));
}

}  // namespace uhd
