// Lets ranks vanish or hang: every stream ends with an error, and readiness says so.
#include <gtest/gtest.h>

#include <condition_variable>

#include "cluster/host/local_communicator.h"
#include "engine/launch/leader_rank.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

// The way to the other ranks: once a test breaks it, it throws, or hangs until let go.
class BadPlans final : public PlanChannel {
 public:
  explicit BadPlans(bool hangs) : hangs_(hangs) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void send(std::span<const std::byte>) override {
    std::unique_lock lock(mutex_);
    if (!broken_) return;
    if (!hangs_) throw Error("the rank is gone");
    changed_.wait(lock, [&] { return let_go_; });
  }
  std::optional<std::vector<std::byte>> receive(Duration) override { return std::nullopt; }
  void report(const StepReport&) override {}
  std::vector<StepReport> reports() override { return {}; }
  void break_now() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
  }

 private:
  const bool hangs_;
  bool broken_ = false;
  bool let_go_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct BadEngine {
  std::unique_ptr<Frontend> engine;
  BadPlans* plans = nullptr;
  std::shared_ptr<int> lost = std::make_shared<int>(0);
};

BadEngine make_bad_engine(const GoldenCase& c, bool hangs, double step_deadline_s) {
  const EngineOptions options = tiny_options(c.model);
  ClusterOptions cluster = ranks(1, 0);
  cluster.step_deadline_s = step_deadline_s;
  const auto files = std::make_shared<const ModelFiles>(open_model(options));
  BadEngine bad;
  LeaderParts parts;
  auto plans = std::make_unique<BadPlans>(hangs);
  bad.plans = plans.get();
  parts.plans = std::move(plans);
  LlmRank rank = make_llm_rank(*files, options, cluster, open_device(*files, options),
                               std::move(make_local_communicators(1)[0]), true);
  make_leader(parts, files, options, cluster, std::move(rank), nullptr);
  parts.on_lost = [lost = bad.lost] { ++*lost; };
  bad.engine = std::make_unique<Frontend>(std::move(parts));
  return bad;
}

// Two answers are under way when the ranks are lost.
void lose_ranks(BadEngine& bad, const GoldenCase& c) {
  Request request = c.request;
  request.stop.max_tokens = 2000;
  const Submitted one = submit(*bad.engine, request);
  const Submitted other = submit(*bad.engine, request);
  one.answer->wait_for_tokens(1);
  other.answer->wait_for_tokens(1);
  bad.plans->break_now();
  for (const Submitted& s : {one, other}) {
    EXPECT_EQ(s.answer->wait().finish, FinishReason::error);
    EXPECT_EQ(s.answer->failure.code, "engine_failed");
  }
  EXPECT_EQ(bad.engine->stats().readiness, Readiness::stalled);
  EXPECT_EQ(submit(*bad.engine, c.request).refused.kind, FailureKind::unavailable);
  EXPECT_TRUE(becomes_idle(*bad.engine));
  bad.plans->let_go();
  bad.engine.reset();
  EXPECT_EQ(*bad.lost, 1);
  EXPECT_EQ(one.answer->events_after_the_last + other.answer->events_after_the_last, 0);
}

TEST(LostRanks, AVanishedRankEndsEveryStreamWithAnError) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  BadEngine bad = make_bad_engine(c, false, 120);
  lose_ranks(bad, c);
}

TEST(LostRanks, AStepPastItsDeadlineEndsEveryStreamWithAnError) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  BadEngine bad = make_bad_engine(c, true, 2);
  lose_ranks(bad, c);
}

// The step that waits for it never ends.
TEST(LostRanks, ARankWhoseProcessHasEndedEndsEveryStreamAtOnce) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  BadEngine bad = make_bad_engine(c, true, 3600);
  Request request = c.request;
  request.stop.max_tokens = 2000;
  const Submitted one = submit(*bad.engine, request);
  one.answer->wait_for_tokens(1);
  bad.plans->break_now();
  bad.engine->ranks_lost("the process of llm1 has ended");
  bad.engine->ranks_lost("the process of llm2 has ended");
  EXPECT_EQ(one.answer->wait().failure.code, "engine_failed");
  EXPECT_EQ(submit(*bad.engine, c.request).refused.kind, FailureKind::unavailable);
  bad.plans->let_go();
  bad.engine.reset();
  EXPECT_EQ(*bad.lost, 1);
}

}  // namespace
}  // namespace uhd
