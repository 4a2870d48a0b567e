#include "engine/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uhd {
namespace {

using ::testing::ElementsAre;

constexpr TimePoint kTurn{};

TEST(Turns, WhoHasBeenGivenLeastGoesNext) {
  Turns<int> turns;
  for (int i = 1; i <= 4; ++i) turns.push("large", {}, 100, i);
  for (int i = 11; i <= 16; ++i) turns.push("small", {}, 25, i);
  std::vector<int> order;
  while (!turns.empty()) order.push_back(turns.take(kTurn));
  EXPECT_THAT(order, ElementsAre(1, 11, 12, 13, 14, 2, 15, 16, 3, 4));
}

TEST(Turns, WhoIsNextStaysSoWhateverArrives) {
  Turns<int> turns;
  turns.push("a", {}, 5, 1);
  turns.push("a", {}, 5, 2);
  EXPECT_EQ(turns.take(kTurn), 1);
  EXPECT_EQ(turns.front(kTurn), 2);
  for (int i = 10; i < 15; ++i) turns.push(std::to_string(i), {}, 1, i);
  EXPECT_EQ(turns.front(kTurn), 2);
  EXPECT_EQ(turns.take(kTurn), 2);
  EXPECT_EQ(turns.take(kTurn), 10);
}

TEST(Turns, WhatIsErasedIsNobodysTurn) {
  Turns<int> turns;
  turns.push("a", {}, 1, 1);
  turns.push("b", {}, 1, 2);
  turns.push("b", {}, 1, 3);
  turns.erase_if([](int value) { return value < 3; });
  EXPECT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns.take(kTurn), 3);
  EXPECT_TRUE(turns.empty());
}

TEST(Turns, TheBestLevelGoesFirstWithinItClientsAndOfOneTheOldest) {
  const auto waiting = [](Turns<int>& turns) {
    turns.push("a", {3, kTurn}, 1, 1);
    turns.push("a", {0, kTurn + std::chrono::milliseconds(2)}, 1, 2);
    turns.push("a", {0, kTurn + std::chrono::milliseconds(1)}, 1, 3);
    turns.push("b", {0, kTurn}, 1, 4);
    turns.push("c", {-2, kTurn}, 1, 5);
  };
  const auto order = [&](double seconds) {
    Turns<int> turns;
    waiting(turns);
    std::vector<int> taken;
    while (!turns.empty()) taken.push_back(turns.take(kTurn + from_seconds(seconds)));
    return taken;
  };
  EXPECT_THAT(order(0.5), ElementsAre(5, 3, 4, 2, 1));
  EXPECT_THAT(order(60), ElementsAre(1, 4, 5, 3, 2)) << "all have aged to the best level";
}

TEST(Turns, WhatIsHastenedGoesSoonerAndNeverLater) {
  Turns<int> turns;
  for (int i = 1; i <= 3; ++i) turns.push("a", {2, kTurn}, 1, i);
  turns.hasten({0, kTurn}, [](int value) { return value == 3; });
  turns.hasten({5, kTurn}, [](int value) { return value == 1; });
  EXPECT_EQ(turns.take(kTurn), 3);
  EXPECT_EQ(turns.take(kTurn), 1);
}

TEST(Turns, WhatIsHastenedKeepsItsAge) {
  const TimePoint later = kTurn + std::chrono::seconds(10);
  Turns<int> turns;
  turns.push("a", {5, kTurn}, 1, 1);
  turns.push("a", {0, later}, 1, 2);
  turns.hasten({4, later}, [](int value) { return value == 1; });
  EXPECT_EQ(turns.take(later), 1);
}

TEST(Turns, TakesTheNextThatFits) {
  Turns<int> turns;
  for (int i = 1; i <= 4; ++i) turns.push("a", {}, 1, i);
  turns.push("b", {1, kTurn}, 1, 6);
  const auto is_even = [](int value) { return value % 2 == 0; };
  EXPECT_EQ(turns.take(kTurn, is_even), 2);
  EXPECT_EQ(turns.take(kTurn, is_even), 4);
  EXPECT_EQ(turns.take(kTurn, is_even), 6);
  EXPECT_EQ(turns.take(kTurn, is_even), std::nullopt);
  EXPECT_EQ(turns.size(), 2u);
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
