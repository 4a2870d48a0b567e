// The target of a gap, divided between prompts and pictures.
#include "engine/leader/gap_budget.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

// Steps take 10 ms and 0.1 ms a row.
void measure_steps(GapBudget& budget) {
  for (const int rows : {100, 400, 1000}) budget.measured(rows, 0.01 + rows * 1e-4);
}

TEST(GapBudget, WithoutATargetNothingIsBounded) {
  GapBudget budget(0);
  measure_steps(budget);
  budget.encoded(3);
  EXPECT_EQ(budget.step_rows(4, 8192), 8192);
  EXPECT_EQ(budget.encoding_turn(4).seconds, INFINITY);
  EXPECT_TRUE(budget.encoding_turn(4).others_decode);
  EXPECT_FALSE(budget.encoding_turn(0).others_decode);
}

TEST(GapBudget, AStepHasTheRowsThatPicturesLeave) {
  GapBudget budget(0.1);
  EXPECT_EQ(budget.step_rows(0, 8192), 8192) << "no step was measured";
  measure_steps(budget);
  EXPECT_NEAR(budget.step_rows(0, 8192), 900, 2);
  budget.encoded(0.04);
  EXPECT_NEAR(budget.step_rows(0, 8192), 500, 2);
  budget.prompts_want_rows(true);
  budget.encoded(7);
  EXPECT_EQ(budget.step_rows(3, 8192), 67) << "enough to be worth reading the weights";
}

TEST(GapBudget, AStepBehindPicturesThatTookItsTimeLeavesPromptsOut) {
  GapBudget budget(0.1);
  measure_steps(budget);
  budget.encoded(0.08);
  EXPECT_EQ(budget.step_rows(3, 8192), 100) << "what is left, where that is more";
  budget.encoded(0.0895);
  EXPECT_EQ(budget.step_rows(3, 8192), 5);
  EXPECT_EQ(budget.step_rows(0, 8192), 64) << "nobody decodes";
  budget.prompts_want_rows(true);
  EXPECT_EQ(budget.step_rows(3, 8192), 67) << "they were left out before";
}

TEST(GapBudget, PicturesGetWhatAStepLeavesOrHalfOfIt) {
  GapBudget budget(0.1);
  measure_steps(budget);
  EXPECT_NEAR(budget.encoding_turn(200).seconds, 0.07, 1e-3);
  budget.prompts_want_rows(true);
  EXPECT_NEAR(budget.encoding_turn(200).seconds, 0.035, 1e-3);
  EXPECT_EQ(budget.encoding_turn(5000).seconds, 0);
}

}  // namespace
}  // namespace uhd
