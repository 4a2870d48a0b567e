#include "base/progress.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Progress, TellsTheTimeLeftFromWhatIsDone) {
  Progress progress(200, false, 10, 1000);
  EXPECT_EQ(progress.left(1000), "") << "nothing is known yet";
  progress.add(50);
  EXPECT_EQ(progress.percent(), 25);
  EXPECT_EQ(progress.left(1030), "90 s left");
  progress.add(500);
  EXPECT_TRUE(progress.complete());
  EXPECT_EQ(progress.done(), 200);
  EXPECT_EQ(progress.percent(), 100);
  EXPECT_EQ(progress.took(1040), 40);
}

TEST(Progress, LinesAreRareAndALineThatIsWrittenOverChangesOften) {
  Progress lines(10, false, 10, 0), over(10, true, 10, 0);
  EXPECT_FALSE(lines.due(9));
  EXPECT_TRUE(lines.due(10));
  EXPECT_FALSE(lines.due(19));
  EXPECT_FALSE(over.due(0.1));
  EXPECT_TRUE(over.due(0.2));
}

TEST(Progress, NothingToDoIsComplete) {
  const Progress nothing(0, false, 10, 0);
  EXPECT_TRUE(nothing.complete());
  EXPECT_EQ(nothing.percent(), 100);
}

TEST(Progress, DurationsAreRoundedUp) {
  EXPECT_EQ(duration_text(0.1), "1 s");
  EXPECT_EQ(duration_text(119), "119 s");
  EXPECT_EQ(duration_text(121), "3 min");
  EXPECT_EQ(duration_text(7201), "3 h");
}

}  // namespace
}  // namespace uhd
