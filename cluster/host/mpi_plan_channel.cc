#include "cluster/host/mpi_plan_channel.h"

#include <deque>

#include "base/archive.h"
#include "base/error.h"
#include "cluster/frame.h"
#include "cluster/idle_wait.h"

namespace uhd {
namespace {

constexpr int kPlanTag = 0;
constexpr int kReportTag = 1;
constexpr size_t kMostReports = 64;
constexpr size_t kReportBytes = 4 * sizeof(uint64_t);

class MpiPlanChannel final : public PlanChannel {
 public:
  explicit MpiPlanChannel(MpiGroup group) : group_(std::move(group)) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }

  void send(std::span<const std::byte> plan) override {
    check(rank() == 0, "only the leader sends plans");
    check(plan.size() <= kMaxPlanBytes, "a plan of ", plan.size(), " bytes is over the limit");
    const auto frame = write_frame(FrameType::step_plan, plan);
    for (int peer = 1; peer < size(); ++peer) group_.send(frame.data(), frame.size(), peer, kPlanTag);
  }

  std::optional<std::vector<std::byte>> receive(Duration limit) override {
    check(rank() > 0, "the leader receives no plans");
    IdleWait wait;
    auto bytes = group_.probe(0, kPlanTag);
    while (!bytes) {
      if (wait.waited() >= limit) return std::nullopt;
      wait.once();
      bytes = group_.probe(0, kPlanTag);
    }
    require(*bytes <= kFrameHeaderBytes + kMaxPlanBytes, "a plan of ", *bytes, " bytes is over the limit");
    std::vector<std::byte> frame(*bytes);
    group_.receive(frame.data(), frame.size(), 0, kPlanTag);
    const auto plan = read_frame(FrameType::step_plan, frame, kMaxPlanBytes);
    return std::vector<std::byte>(plan.begin(), plan.end());
  }

  void report(const StepReport& report) override {
    while (!reports_.empty() && reports_.front().test()) reports_.pop_front();
    if (reports_.size() >= kMostReports) return;
    std::vector<std::byte> bytes;
    Writer{bytes}(report.number, report.reached, report.begun, report.ended);
    reports_.push_back(group_.start_send(std::move(bytes), 0, kReportTag));
  }

  std::vector<StepReport> reports() override {
    std::vector<StepReport> list;
    for (int peer = 1; peer < size(); ++peer) {
      while (group_.probe(peer, kReportTag)) {
        std::vector<std::byte> bytes(kReportBytes);
        group_.receive(bytes.data(), bytes.size(), peer, kReportTag);
        StepReport& report = list.emplace_back();
        report.rank = peer;
        Reader{bytes}(report.number, report.reached, report.begun, report.ended);
      }
    }
    return list;
  }

 private:
  MpiGroup group_;
  std::deque<MpiRequest> reports_;  // on their way
};

}  // namespace

std::unique_ptr<PlanChannel> make_mpi_plan_channel(MpiGroup group) {
  return std::make_unique<MpiPlanChannel>(std::move(group));
}

}  // namespace uhd
