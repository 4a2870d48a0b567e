#include "cluster/plan_channel.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/hash.h"

namespace uhd {
namespace {

constexpr Duration kLong = std::chrono::seconds(60);

std::vector<std::byte> plan(int n) {
  return std::vector<std::byte>(static_cast<size_t>(n) * 100, static_cast<std::byte>(n));
}

TEST(LocalPlanChannel, EveryFollowerGetsEveryPlanInOrder) {
  auto channels = make_local_plan_channels(4);
  std::vector<std::jthread> followers;
  for (int r = 1; r < 4; ++r) {
    followers.emplace_back([&, r] {
      for (int n = 0; n < 50; ++n) EXPECT_EQ(channels[static_cast<size_t>(r)]->receive(kLong), plan(n));
    });
  }
  for (int n = 0; n < 50; ++n) channels[0]->send(plan(n));
}

TEST(LocalPlanChannel, ReportsComeFromAllFollowers) {
  auto channels = make_local_plan_channels(3);
  EXPECT_TRUE(channels[0]->reports().empty());
  channels[1]->report({.number = 4, .rank = 1, .reached = 10, .begun = 20, .ended = 30});
  channels[2]->report({.number = 4, .rank = 2});
  const auto reports = channels[0]->reports();
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].rank, 1);
  EXPECT_EQ(reports[0].ended, 30);
  EXPECT_EQ(reports[1].rank, 2);
  for (int n = 0; n < 5000; ++n) channels[1]->report({.number = 5, .rank = 1});
  EXPECT_LE(channels[0]->reports().size(), 1024u) << "a leader that does not ask holds no more";
}

TEST(LocalPlanChannel, SaysNothingAfterTheLimit) {
  auto channels = make_local_plan_channels(2);
  EXPECT_EQ(channels[1]->receive(Duration::zero()), std::nullopt);
}

TEST(LocalPlanChannel, AGroupOfOneSendsToNobody) {
  auto channels = make_local_plan_channels(1);
  channels[0]->send(plan(1));
  EXPECT_EQ(channels[0]->size(), 1);
}

TEST(LocalPlanChannel, WhatWasSentBeforeTheLeaderLeftIsReceived) {
  auto channels = make_local_plan_channels(2);
  channels[0]->send(plan(7));
  channels[0].reset();
  EXPECT_EQ(channels[1]->receive(kLong), plan(7));
  EXPECT_THROW(channels[1]->receive(kLong), Error);
}

TEST(LocalPlanChannel, AFollowerThatLeftIsAnErrorForTheLeaderAlone) {
  auto channels = make_local_plan_channels(3);
  channels[2].reset();
  EXPECT_THROW(channels[0]->send(plan(1)), Error);
  EXPECT_EQ(channels[1]->receive(kLong), plan(1));
}

TEST(LocalPlanChannel, OnlyTheLeaderSendsAndOnlyFollowersReceive) {
  auto channels = make_local_plan_channels(2);
  EXPECT_THROW(channels[1]->send(plan(1)), Error);
  EXPECT_THROW(channels[0]->receive(kLong), Error);
}

}  // namespace
}  // namespace uhd
