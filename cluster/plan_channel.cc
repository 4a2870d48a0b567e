#include "cluster/plan_channel.h"

#include "base/error.h"
#include "base/queue.h"
#include "cluster/frame.h"

namespace uhd {
namespace {

using Plans = Queue<std::vector<std::byte>>;
using Reports = Queue<StepReport>;

constexpr size_t kReportsAhead = 1024;

// One queue of plans a follower; the leader fills them all. Reports go the other way in one queue.
class LocalPlanChannel final : public PlanChannel {
 public:
  LocalPlanChannel(int rank, std::shared_ptr<std::vector<std::unique_ptr<Plans>>> plans,
                   std::shared_ptr<Reports> reports)
      : rank_(rank), plans_(std::move(plans)), reports_(std::move(reports)) {}
  ~LocalPlanChannel() override {
    for (size_t follower = 1; follower <= plans_->size(); ++follower) {
      if (rank_ == 0 || rank_ == static_cast<int>(follower)) (*plans_)[follower - 1]->close();
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(plans_->size()) + 1; }

  void send(std::span<const std::byte> plan) override {
    check(rank_ == 0, "only the leader sends plans");
    check(plan.size() <= kMaxPlanBytes, "a plan of ", plan.size(), " bytes is over the limit");
    if (plans_->empty()) return;
    const auto frame = write_frame(FrameType::step_plan, plan);
    for (auto& p : *plans_) require(p->try_push(frame), "an LLM rank has left or takes no more plans");
  }

  std::optional<std::vector<std::byte>> receive(Duration limit) override {
    check(rank_ > 0, "the leader receives no plans");
    Plans& mine = *(*plans_)[static_cast<size_t>(rank_ - 1)];
    const bool last = mine.closed();  // asked first: a plan sent before the leader left is still received
    const auto frame = mine.pop_until(Clock::now() + limit);
    if (!frame) {
      require(!last, "the leader has left");
      return std::nullopt;
    }
    const auto plan = read_frame(FrameType::step_plan, *frame, kMaxPlanBytes);
    return std::vector<std::byte>(plan.begin(), plan.end());
  }

  void report(const StepReport& report) override { reports_->try_push(report); }
  std::vector<StepReport> reports() override {
    std::vector<StepReport> list;
    while (const auto report = reports_->pop_until(TimePoint())) list.push_back(*report);
    return list;
  }

 private:
  const int rank_;
  std::shared_ptr<std::vector<std::unique_ptr<Plans>>> plans_;
  std::shared_ptr<Reports> reports_;
};

}  // namespace

std::vector<std::unique_ptr<PlanChannel>> make_local_plan_channels(int size) {
  check(size > 0, "a group has at least one rank");
  constexpr size_t kPlansAhead = 1024;
  auto plans = std::make_shared<std::vector<std::unique_ptr<Plans>>>();
  for (int r = 1; r < size; ++r) plans->push_back(std::make_unique<Plans>(kPlansAhead));
  std::vector<std::unique_ptr<PlanChannel>> channels;
  channels.reserve(static_cast<size_t>(size));
  const auto reports = std::make_shared<Reports>(kReportsAhead);
  for (int r = 0; r < size; ++r) channels.push_back(std::make_unique<LocalPlanChannel>(r, plans, reports));
  return channels;
}

}  // namespace uhd
