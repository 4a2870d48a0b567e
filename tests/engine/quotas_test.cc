#include "engine/leader/quotas.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr TimePoint kOpened{};

TimePoint later(double s) { return kOpened + from_seconds(s); }

TEST(Quotas, TakeAMinutesWorthAndSayWhenThereIsMore) {
  Quotas quotas;
  EXPECT_FALSE(quotas.take("a", 30, 20, kOpened));
  const auto wait = quotas.take("a", 30, 20, kOpened);
  ASSERT_TRUE(wait);
  EXPECT_DOUBLE_EQ(*wait, 20) << "10 are missing, and 30 come in a minute";
  EXPECT_EQ(quotas.wait("a", 30, 20, kOpened), wait) << "asking and being refused cost nothing";
  EXPECT_TRUE(quotas.take("a", 30, 20, later(19.9)));
  EXPECT_FALSE(quotas.take("a", 30, 20, later(20.1)));
  EXPECT_FALSE(quotas.take("b", 30, 20, kOpened)) << "each tenant has its own";
}

TEST(Quotas, SaveUpNoMoreThanAMinutesWorth) {
  Quotas quotas;
  EXPECT_FALSE(quotas.take("a", 30, 1, kOpened));
  EXPECT_FALSE(quotas.take("a", 30, 30, later(3600)));
  EXPECT_TRUE(quotas.take("a", 30, 1, later(3600)));
}

TEST(Quotas, TakeWhatIsLargerThanTheQuotaWhenItIsWhole) {
  Quotas quotas;
  EXPECT_FALSE(quotas.take("a", 30, 90, kOpened));
  const auto wait = quotas.take("a", 30, 0, kOpened);
  ASSERT_TRUE(wait) << "60 are owed";
  EXPECT_DOUBLE_EQ(*wait, 120);
  EXPECT_DOUBLE_EQ(quotas.wait("a", 30, 90, later(120)).value(), 60);
  EXPECT_FALSE(quotas.take("a", 30, 90, later(180.1)));
}

TEST(Quotas, AreCorrectedByWhatWasMeasured) {
  Quotas quotas;
  EXPECT_FALSE(quotas.take("a", 30, 30, kOpened));
  quotas.correct("a", 30, 5);
  EXPECT_FALSE(quotas.take("a", 30, 25, kOpened)) << "most of it was not needed";
  quotas.correct("a", 25, 40);
  EXPECT_DOUBLE_EQ(quotas.wait("a", 30, 0, kOpened).value(), 30) << "15 more than predicted";
  quotas.correct("nobody", 1, 2);
  EXPECT_FALSE(quotas.wait("nobody", 30, 30, kOpened));
}

TEST(Quotas, AreChargedForWhatNobodyPredicted) {
  Quotas quotas;
  quotas.charge("a", 30, 40, kOpened);
  EXPECT_DOUBLE_EQ(quotas.take("a", 30, 1, kOpened).value(), 22) << "10 are owed, and 1 is missing";
  quotas.correct("a", 1, 1);
  EXPECT_FALSE(quotas.take("a", 30, 0, later(20)));
  quotas.charge("a", 30, 0, later(20));
  EXPECT_TRUE(quotas.take("a", 30, 0, later(20))) << "it tells nothing of what is not known";
}

TEST(Quotas, TakeOneAtATimeWhileCostsAreNotKnown) {
  Quotas quotas;
  EXPECT_FALSE(quotas.take("a", 30, 0, kOpened));
  EXPECT_EQ(quotas.take("a", 30, 0, kOpened), 1);
  EXPECT_EQ(quotas.wait("a", 30, 0, later(60)), 1) << "however long it takes";
  EXPECT_FALSE(quotas.take("b", 30, 0, kOpened));
  EXPECT_FALSE(quotas.take("a", 30, 2, kOpened)) << "the first has told meanwhile what work costs";
  quotas.correct("a", 2, 1);
  EXPECT_TRUE(quotas.take("a", 30, 0, kOpened)) << "the end of another tells nothing";
  quotas.correct("a", 0, 5);
  EXPECT_FALSE(quotas.take("a", 30, 0, kOpened));
  quotas.correct("a", 0, 40);
  EXPECT_DOUBLE_EQ(quotas.take("a", 30, 0, kOpened).value(), 32) << "16 are owed";
}

}  // namespace
}  // namespace uhd
