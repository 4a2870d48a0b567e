#include "engine/step_time.h"

#include <gtest/gtest.h>

#include <cmath>

namespace uhd {
namespace {

TEST(StepTime, BoundsNothingBeforeAStepWasMeasured) {
  StepTime time;
  time.measured(0, 1);
  time.measured(8, 0);
  time.measured(8, NAN);
  EXPECT_EQ(time.predict(100), 0);
  EXPECT_EQ(time.rows_within(1e-9, 64, 512), 512);
}

TEST(StepTime, FindsWhatEveryStepTakesAndWhatARowTakes) {
  StepTime time;
  for (int i = 0; i < 50; ++i) {
    time.measured(1, 0.05 + 0.002);
    time.measured(101, 0.05 + 0.202);
  }
  EXPECT_NEAR(time.predict(0), 0.05, 1e-9);
  EXPECT_NEAR(time.predict(51), 0.05 + 0.102, 1e-9);
  EXPECT_EQ(time.rows_within(0.2501, 1, 512), 100);
  EXPECT_EQ(time.rows_within(0.01, 64, 512), 64) << "no time is left, but the least";
  EXPECT_EQ(time.rows_within(100, 64, 128), 128);
  EXPECT_EQ(time.rows_within(0.01, 64, 48), 48);
}

TEST(StepTime, TakesStepsOfEqualRowsForProportional) {
  StepTime time;
  for (int i = 0; i < 10; ++i) time.measured(8, 0.08);
  EXPECT_NEAR(time.predict(16), 0.16, 1e-9);
  EXPECT_EQ(time.rows_within(0.1201, 1, 512), 12);
}

// Streams decode for long, eight rows a step, and the machine gets slower meanwhile: the few prompts of
// before look as if their rows had cost nothing. The next prompt must not fill a step for that.
TEST(StepTime, DoesNotTrustItselfFarBeyondTheStepsOfLate) {
  StepTime time;
  time.measured(80, 0.05);
  for (int i = 0; i < 30; ++i) time.measured(8, 0.15);
  EXPECT_LE(time.rows_within(0.2, 16, 512), 2 * 80);
  for (int i = 0; i < 70; ++i) time.measured(8, 0.15);
  EXPECT_EQ(time.rows_within(0.2, 16, 512), 16);
  time.measured(16, 0.151);
  EXPECT_EQ(time.rows_within(1e9, 16, 512), 32) << "and it grows as it learns";
}

TEST(StepTime, ComesToANewTruth) {
  StepTime time;
  for (int i = 0; i < 200; ++i) time.measured(i % 2 == 0 ? 8 : 72, 10);
  for (int i = 0; i < 200; ++i) time.measured(i % 2 == 0 ? 8 : 72, i % 2 == 0 ? 0.018 : 0.082);
  EXPECT_NEAR(time.predict(40), 0.05, 1e-3);
}

// Noise may make larger steps look quicker, and rows look as if they cost less than nothing.
TEST(StepTime, IsNeverNegative) {
  StepTime quicker;
  for (int i = 0; i < 10; ++i) {
    quicker.measured(8, 0.1);
    quicker.measured(100, 0.05);
  }
  EXPECT_GT(quicker.predict(1000), 0);
  EXPECT_GE(quicker.rows_within(1, 64, 512), 100);
  EXPECT_EQ(quicker.rows_within(0.01, 64, 512), 64);
  StepTime steep;
  for (int i = 0; i < 10; ++i) {
    steep.measured(10, 0.01);
    steep.measured(100, 1);
  }
  EXPECT_GE(steep.predict(0), 0);
}

}  // namespace
}  // namespace uhd
