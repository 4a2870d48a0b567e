#include "cluster/launch/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/cluster/mpi/world.h"

namespace uhd {
namespace {

constexpr Duration kLong = std::chrono::seconds(60);

ClusterOptions all_llm() {
  ClusterOptions o;
  o.tensor_parallel = test_world().size();
  return o;
}

std::vector<std::byte> plan(int n) {
  return std::vector<std::byte>(static_cast<size_t>(n) * 997, static_cast<std::byte>(n));
}

// Polls one end until its transfer ends.
LinkState ended(VisualLink& link) {
  while (link.poll() == LinkState::busy) {
  }
  return link.poll();
}

TEST(World, KnowsItsRanksAndHosts) {
  World& world = test_world();
  EXPECT_GT(world.size(), 1);
  ASSERT_EQ(world.hosts().size(), static_cast<size_t>(world.size()));
  EXPECT_EQ(world.hosts()[static_cast<size_t>(world.rank())], world.host());
}

TEST(World, AgreesOnRolesByRank) {
  World& world = test_world();
  ClusterOptions o;
  o.tensor_parallel = world.size() - 1;
  o.encoder_count = 1;
  const Topology t = world.agree_topology(o);
  EXPECT_EQ(t.of(world.size() - 1), (Place{Role::encoder, 0}));
  EXPECT_EQ(t.leader, 0);
}

TEST(World, AgreesOnRolesThatProgramsWereLaunchedWith) {
  World& world = test_world();
  ClusterOptions o;
  o.tensor_parallel = world.size() - 1;
  o.encoder_count = 1;
  o.role = world.rank() == 0 ? "encoder" : "llm";
  const Topology t = world.agree_topology(o);
  EXPECT_EQ(t.of(0), (Place{Role::encoder, 0}));
  EXPECT_EQ(t.leader, 1);
}

TEST(World, EveryRankHearsThatTheConfigurationsDiffer) {
  ClusterOptions o = all_llm();
  if (test_world().rank() == 1) o.tensor_parallel += 1;
  EXPECT_THROW(test_world().agree_topology(o), Error);
  o = all_llm();
  if (test_world().rank() == 1) o.ipc_all_reduce = "auto";
  EXPECT_THROW(test_world().agree_topology(o), Error);
}

TEST(World, TheGroupOfLlmRanksLeavesEncodersOut) {
  World& world = test_world();
  ClusterOptions o;
  o.tensor_parallel = world.size() - 1;
  o.encoder_count = 1;
  const Topology t = world.agree_topology(o);
  const auto tp = world.tensor_parallel(t);
  const auto plans = world.plan_channel(t);
  if (t.of(world.rank()).role == Role::encoder) {
    EXPECT_EQ(tp, nullptr);
    EXPECT_EQ(plans, nullptr);
    return;
  }
  ASSERT_EQ(tp->size(), o.tensor_parallel);
  EXPECT_EQ(tp->rank(), t.of(world.rank()).index);
  std::vector<float> one{1};
  tp->all_reduce(Tensor::of(one.data(), {1}));
  EXPECT_EQ(one[0], static_cast<float>(o.tensor_parallel));
}

TEST(World, PlansReachEveryFollowerInOrder) {
  World& world = test_world();
  const Topology t = world.agree_topology(all_llm());
  const auto tp = world.tensor_parallel(t);
  const auto plans = world.plan_channel(t);
  for (int n = 0; n < 200; ++n) {
    if (plans->rank() == 0) {
      plans->send(plan(n));
    } else {
      EXPECT_EQ(plans->receive(kLong), plan(n));
    }
  }
  tp->barrier();
  if (plans->rank() > 0) plans->report({.number = 9, .reached = 1, .begun = 2, .ended = 3 + plans->rank()});
  std::set<int> reported;
  const TimePoint until = Clock::now() + kLong;
  while (plans->rank() == 0 && static_cast<int>(reported.size()) + 1 < plans->size() &&
         Clock::now() < until) {
    for (const StepReport& report : plans->reports()) {
      EXPECT_EQ(report.number, 9u);
      EXPECT_EQ(report.ended, 3 + report.rank);
      reported.insert(report.rank);
    }
  }
  EXPECT_TRUE(plans->rank() > 0 || static_cast<int>(reported.size()) + 1 == plans->size());
  if (plans->rank() > 0) {
    EXPECT_EQ(plans->receive(Duration::zero()), std::nullopt);
  }
  tp->barrier();
}

TEST(World, TextsReachTheRankTheyAreFor) {
  World& world = test_world();
  if (world.rank() == 0) {
    for (int peer = 1; peer < world.size(); ++peer) world.send_text(message("for ", peer), peer);
  } else {
    EXPECT_EQ(world.receive_text(0, kLong), message("for ", world.rank()));
    EXPECT_THROW(world.receive_text(0, Duration::zero()), Error);
  }
}

// Every other rank sends rows to rank 0, several transfers one after another.
TEST(World, RowsArriveFromEveryRank) {
  World& world = test_world();
  constexpr int64_t kRows = 64;
  constexpr int64_t kWidth = 1031;
  for (uint64_t job = 1; job <= 3; ++job) {
    const auto value = [&](int rank) { return static_cast<float>(rank) * 100.f + static_cast<float>(job); };
    if (world.rank() != 0) {
      std::vector<float> rows(kRows * kWidth, value(world.rank()));
      const auto link = world.visual_sender(0);
      link->begin(job, Tensor::of(rows.data(), {kRows, kWidth}));
      EXPECT_EQ(ended(*link), LinkState::done) << link->failure();
      continue;
    }
    for (int peer = 1; peer < world.size(); ++peer) {
      std::vector<float> rows(kRows * kWidth);
      const auto link = world.visual_receiver(peer);
      link->begin(job, Tensor::of(rows.data(), {kRows, kWidth}));
      EXPECT_EQ(ended(*link), LinkState::done) << link->failure();
      EXPECT_EQ(rows, std::vector<float>(kRows * kWidth, value(peer)));
    }
  }
}

// Small ones and such as need the receiver's answer, all begun before the first is looked at.
TEST(World, ManyRowsAreUnderWayAtOnce) {
  World& world = test_world();
  constexpr size_t kPieces = 12;
  const auto rows_of = [](size_t i) { return static_cast<int64_t>(i % 3 == 0 ? 700 : 3); };
  std::vector<std::vector<float>> rows;
  for (size_t i = 0; i < kPieces; ++i) {
    rows.emplace_back(rows_of(i) * 300, world.rank() == 1 ? static_cast<float>(i + 1) : 0.f);
  }
  if (world.rank() > 1) return;
  const auto link = world.rank() == 1 ? world.visual_sender(0) : world.visual_receiver(1);
  for (size_t i = 0; i < kPieces; ++i) link->begin(30 + i, Tensor::of(rows[i].data(), {rows_of(i), 300}));
  EXPECT_EQ(ended(*link), LinkState::done) << link->failure();
  EXPECT_EQ(link->ended(), kPieces);
  for (size_t i = 0; i < kPieces; ++i) {
    EXPECT_EQ(rows[i], std::vector<float>(rows[i].size(), static_cast<float>(i + 1))) << i;
  }
}

TEST(World, RowsOfAnotherShapeThanAgreedFailTheLink) {
  World& world = test_world();
  std::vector<bf16> rows(8 * 16);
  if (world.rank() == 1) {
    const auto link = world.visual_sender(0);
    link->begin(4, Tensor::of(rows.data(), {8, 16}));
    EXPECT_EQ(ended(*link), LinkState::done);
  } else if (world.rank() == 0) {
    const auto link = world.visual_receiver(1);
    link->begin(4, Tensor::of(rows.data(), {4, 16}));
    EXPECT_EQ(ended(*link), LinkState::failed);
    EXPECT_THAT(link->failure(), testing::HasSubstr("8 rows of 16 bf16 instead of job 4: 4 rows"));
    link->begin(5, Tensor::of(rows.data(), {8, 16}));
    EXPECT_EQ(link->poll(), LinkState::failed);
  }
}

// An encoder that lost its connection gives up a transfer; its next link must not be mixed up with it.
TEST(World, RowsOfAnAbandonedTransferAreDropped) {
  World& world = test_world();
  constexpr int64_t kRows = 2000;  // large enough to need the receiver's answer
  std::vector<float> rows(kRows * 300, static_cast<float>(world.rank()));
  const Tensor tensor = Tensor::of(rows.data(), {kRows, 300});
  if (world.rank() == 1) {
    world.visual_sender(0)->begin(10, tensor);
    const auto link = world.visual_sender(0);
    link->begin(11, tensor);
    EXPECT_EQ(ended(*link), LinkState::done);
  } else if (world.rank() == 0) {
    world.visual_receiver(1)->begin(10, tensor);
    const auto link = world.visual_receiver(1);
    link->begin(11, tensor);
    EXPECT_EQ(ended(*link), LinkState::done) << link->failure();
    EXPECT_EQ(rows, std::vector<float>(kRows * 300, 1.f));
  }
}

// Rows that an ended link had under way do not reach its tensor any more, and the next link does not take
// them.
TEST(World, AnEndedLinkLeavesItsTensorAlone) {
  World& world = test_world();
  constexpr int64_t kRows = 2000;
  std::vector<float> rows(kRows * 300, static_cast<float>(world.rank()));
  std::vector<float> given_up(kRows * 300, -1.f);
  const Tensor tensor = Tensor::of(rows.data(), {kRows, 300});
  if (world.rank() == 1) {
    const auto old = world.visual_sender(0);
    old->begin(20, tensor);
    old->abort();
    EXPECT_EQ(old->poll(), LinkState::failed);
    const auto link = world.visual_sender(0);
    link->begin(21, tensor);
    EXPECT_EQ(ended(*link), LinkState::done);
  } else if (world.rank() == 0) {
    const auto old = world.visual_receiver(1);
    old->begin(20, Tensor::of(given_up.data(), {kRows, 300}));
    old->poll();  // perhaps the receive is under way
    old->abort();
    EXPECT_EQ(old->poll(), LinkState::failed);
    EXPECT_NE(old->failure(), "");
    const auto link = world.visual_receiver(1);
    link->begin(21, tensor);
    EXPECT_EQ(ended(*link), LinkState::done) << link->failure();
    EXPECT_EQ(rows, std::vector<float>(kRows * 300, 1.f));
  }
}

}  // namespace
}  // namespace uhd
