#include "base/urgency.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Urgency, AgeImprovesAPriorityUpToTheBestThatIsThere) {
  const TimePoint start{};
  const auto after = [&](double waited, int best) {
    return level_of({5, start}, start + from_seconds(waited), best);
  };
  EXPECT_EQ(after(0, -2), 5);
  EXPECT_EQ(after(3.5, -2), 2);
  EXPECT_EQ(after(1000000, -2), -2);
  EXPECT_EQ(after(1000000, 5), 5) << "among equals age is nothing";
  EXPECT_EQ(after(-1, -2), 5);
}

TEST(Urgency, ABetterPriorityGoesBeforeUntilTheOtherHasAged) {
  const TimePoint start{};
  const Urgency patient{3, start}, pushes{1, start + from_seconds(10)};
  EXPECT_TRUE(more_urgent(pushes, patient, start));
  EXPECT_FALSE(more_urgent(patient, pushes, start));
  EXPECT_FALSE(more_urgent(pushes, patient, start + from_seconds(2)));
  EXPECT_FALSE(more_urgent(patient, pushes, start + from_seconds(1000)));
}

}  // namespace
}  // namespace uhd
