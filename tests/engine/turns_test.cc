#include "engine/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uhd {
namespace {

using ::testing::ElementsAre;

TEST(Turns, WhoHasBeenGivenLeastGoesNext) {
  Turns<int> turns;
  for (int i = 1; i <= 4; ++i) turns.push("large", 100, i);
  for (int i = 11; i <= 16; ++i) turns.push("small", 25, i);
  std::vector<int> order;
  while (!turns.empty()) order.push_back(turns.take());
  EXPECT_THAT(order, ElementsAre(1, 11, 12, 13, 14, 2, 15, 16, 3, 4));
}

TEST(Turns, WhoIsNextStaysSoWhateverArrives) {
  Turns<int> turns;
  turns.push("a", 5, 1);
  turns.push("a", 5, 2);
  EXPECT_EQ(turns.take(), 1);
  EXPECT_EQ(turns.front(), 2);
  for (int i = 10; i < 15; ++i) turns.push(std::to_string(i), 1, i);
  EXPECT_EQ(turns.front(), 2);
  EXPECT_EQ(turns.take(), 2);
  EXPECT_EQ(turns.take(), 10);
}

TEST(Turns, WhatIsErasedIsNobodysTurn) {
  Turns<int> turns;
  turns.push("a", 1, 1);
  turns.push("b", 1, 2);
  turns.push("b", 1, 3);
  turns.erase_if([](int value) { return value < 3; });
  EXPECT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns.take(), 3);
  EXPECT_TRUE(turns.empty());
}

TEST(FairTurns, DebtIsBoundedAndForgottenWithTheLastThing) {
  FairTurns turns(10, 40);
  turns.enter("a");
  turns.charge("a", 1000);
  EXPECT_EQ(turns.balance("a"), -40);
  EXPECT_EQ(turns.deepest_debt(), 40);
  EXPECT_EQ(turns.choose([](const std::string&) { return false; }), nullptr);
  EXPECT_EQ(*turns.choose([](const std::string&) { return true; }), "a");
  EXPECT_EQ(turns.balance("a"), 10) << "the rounds that nobody else wants pass at once";
  turns.charge("a", 30);
  turns.leave("a");
  turns.enter("a");
  EXPECT_EQ(turns.balance("a"), 0);
}

}  // namespace
}  // namespace uhd
