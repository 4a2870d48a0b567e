#include "net/body_budget.h"

#include <gtest/gtest.h>

#include <thread>

namespace uhd {
namespace {

struct Upload {
  std::unique_ptr<BodyBudget::Hold> hold;
  std::shared_ptr<bool> asked = std::make_shared<bool>(false);
};

Upload begin(BodyBudget& budget, const std::string& client) {
  Upload upload;
  upload.hold = budget.receive(client, [asked = upload.asked] { *asked = true; });
  return upload;
}

void wait_a_little() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

TEST(BodyBudget, CountsWhatIsHeldAndForgetsWhatIsFreed) {
  const auto budget = std::make_shared<BodyBudget>(100, 100);
  Upload a = begin(*budget, "a");
  EXPECT_EQ(budget->held(), 0) << "nothing has come";
  EXPECT_TRUE(a.hold->grow_to(60));
  EXPECT_EQ(budget->held(), 60);
  a.hold.reset();
  EXPECT_EQ(budget->held(), 0);
}

TEST(BodyBudget, TheCostliestUnfinishedBodyGivesWay) {
  const auto budget = std::make_shared<BodyBudget>(100, 100);
  Upload small = begin(*budget, "a");
  ASSERT_TRUE(small.hold->grow_to(1));
  Upload large = begin(*budget, "b");
  ASSERT_TRUE(large.hold->grow_to(99));
  wait_a_little();
  Upload newcomer = begin(*budget, "c");
  EXPECT_TRUE(newcomer.hold->grow_to(10));
  EXPECT_TRUE(*large.asked);
  EXPECT_FALSE(*small.asked);
  EXPECT_FALSE(large.hold->grow_to(99)) << "it was asked to end";
  EXPECT_EQ(budget->held(), 11);
}

TEST(BodyBudget, ACompleteBodyStays) {
  const auto budget = std::make_shared<BodyBudget>(100, 100);
  Upload first = begin(*budget, "a");
  ASSERT_TRUE(first.hold->grow_to(95));
  first.hold->settle();
  wait_a_little();
  Upload newcomer = begin(*budget, "b");
  EXPECT_TRUE(newcomer.hold->grow_to(5));
  EXPECT_FALSE(newcomer.hold->grow_to(6)) << "the only one that could give way is itself";
  EXPECT_FALSE(*first.asked);
  EXPECT_EQ(budget->held(), 100);
}

TEST(BodyBudget, AClientsShareIsTakenFromItself) {
  const auto budget = std::make_shared<BodyBudget>(1000, 100);
  Upload other = begin(*budget, "other");
  ASSERT_TRUE(other.hold->grow_to(100));
  Upload old = begin(*budget, "a");
  ASSERT_TRUE(old.hold->grow_to(90));
  wait_a_little();
  Upload fresh = begin(*budget, "a");
  EXPECT_TRUE(fresh.hold->grow_to(20));
  EXPECT_TRUE(*old.asked);
  EXPECT_FALSE(*other.asked);
}

TEST(BodyBudget, BytesThatAreThereAreCountedWhateverTheLimit) {
  const auto budget = std::make_shared<BodyBudget>(10, 10);
  const auto image = budget->keep("a", 50);
  EXPECT_EQ(budget->held(), 50);
  Upload newcomer = begin(*budget, "b");
  EXPECT_FALSE(newcomer.hold->grow_to(1));
}

TEST(BodyBudget, LivesAsLongAsWhatItCounts) {
  auto budget = std::make_shared<BodyBudget>(10, 10);
  const auto image = budget->keep("a", 5);
  budget.reset();
}

}  // namespace
}  // namespace uhd
