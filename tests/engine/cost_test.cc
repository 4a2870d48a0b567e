#include "engine/cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace uhd {
namespace {

TEST(Cost, PredictsBeforeAnythingWasMeasured) {
  const CostModel cost;
  const StageSeconds s = cost.predict({.prefill_rows = 10, .decode_rows = 10});
  EXPECT_GT(s.prefill, 0);
  EXPECT_GT(s.decode, s.prefill) << "a decoded row is dearer than one of a prompt";
  EXPECT_DOUBLE_EQ(s.total(), s.prefill + s.decode);
  EXPECT_EQ(cost.predict({}).total(), 0);
}

TEST(Cost, TheFirstMeasurementScalesTheStagesThatWereNotMeasured) {
  CostModel cost;
  const double ratio = cost.decode_in_prefill_rows();
  cost.stepped(100, 0, 0.5);
  EXPECT_DOUBLE_EQ(cost.predict({.prefill_rows = 100}).prefill, 0.5);
  EXPECT_DOUBLE_EQ(cost.decode_in_prefill_rows(), ratio);
}

TEST(Cost, ComesToWhatIsMeasured) {
  CostModel cost;
  for (int i = 0; i < 200; ++i) {
    cost.stepped(100, 0, 0.1);
    cost.stepped(0, 4, 0.08);
    cost.stepped(100, 4, 0.18);
  }
  const StageSeconds s = cost.predict({.prefill_rows = 10, .decode_rows = 3});
  EXPECT_NEAR(s.prefill, 0.01, 1e-4);
  EXPECT_NEAR(s.decode, 0.06, 1e-3);
}

TEST(Cost, RefusesOnlyWhatIsFarOutOfReach) {
  EXPECT_TRUE(can_end_within({.encode = 1.9, .prefill = 1.9, .decode = 0.05}, 1)) << "stages overlap";
  EXPECT_FALSE(can_end_within({.encode = 2.1}, 1));
  EXPECT_FALSE(can_end_within({.prefill = 1.9, .decode = 0.2}, 1));
  EXPECT_TRUE(can_end_within({}, 0));
}

TEST(Cost, CountsTheEncodingOfImages) {
  CostModel cost;
  cost.stepped(100, 0, 0.1);
  const StageSeconds guessed = cost.predict({.patches = 1000, .prefill_rows = 100});
  EXPECT_GT(guessed.encode, 0);
  EXPECT_DOUBLE_EQ(guessed.total(), guessed.encode + guessed.prefill);
  EXPECT_FALSE(cost.measured_encoding());
  cost.set_patch_seconds(0.004);
  EXPECT_TRUE(cost.measured_encoding());
  EXPECT_NEAR(cost.predict({.patches = 1000}).encode, 4, 1e-9);
  EXPECT_NEAR(cost.predict({.patches = 1000}, 4).encode, 1, 1e-9) << "encoders work beside each other";
  EXPECT_NEAR(cost.predict({.patches = 1000}, 0).encode, 4, 1e-9) << "until one comes";
}

// Of a prompt that is kept, a step computes a row or two.
TEST(Cost, AFewRowsOfAPromptTellNothing) {
  CostModel cost;
  cost.stepped(2, 0, 0.3);
  EXPECT_FALSE(cost.measured());
  cost.stepped(100, 0, 0.5);
  for (int i = 0; i < 100; ++i) cost.stepped(2, 0, 0.3);
  EXPECT_DOUBLE_EQ(cost.predict({.prefill_rows = 100}).prefill, 0.5);
}

TEST(Cost, OneSlowStepIsNotBelievedAtOnce) {
  CostModel cost;
  cost.stepped(100, 0, 0.1);
  cost.stepped(100, 0, 10);
  EXPECT_NEAR(cost.predict({.prefill_rows = 100}).prefill, 0.1 + 0.1 * 9.9, 1e-9);
}

TEST(Cost, IgnoresWhatIsNoMeasurement) {
  CostModel cost;
  cost.stepped(100, 0, 0.5);
  for (const double seconds : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    cost.stepped(10, 10, seconds);
  }
  cost.stepped(0, 0, 1);
  EXPECT_DOUBLE_EQ(cost.predict({.prefill_rows = 100}).prefill, 0.5);
}

}  // namespace
}  // namespace uhd
