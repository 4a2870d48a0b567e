#include "model/weights/load_progress.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(LoadProgress, AQuickLoadSaysNothing) {
  LoadProgress progress("model", 10 * kGiB, false, 100);
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(progress.add(kGiB, 100 + 0.2 * i), std::nullopt);
}

TEST(LoadProgress, ASlowOneSaysALineEveryFewSeconds) {
  LoadProgress progress("model", 10 * kGiB, false, 100);
  EXPECT_EQ(progress.add(kGiB, 102.9), std::nullopt);
  EXPECT_EQ(progress.add(kGiB, 103), "model: 2.0 GiB of 10.0 GiB loaded");
  EXPECT_EQ(progress.add(kGiB, 105.9), std::nullopt);
  EXPECT_EQ(progress.add(kGiB, 107), "model: 4.0 GiB of 10.0 GiB loaded");
  EXPECT_EQ(progress.add(6 * kGiB, 120), std::nullopt);  // all is there
}

TEST(LoadProgress, ALineThatIsWrittenOverTellsShareAndTimeLeft) {
  LoadProgress progress("model", 10 * kGiB, true, 0);
  EXPECT_EQ(progress.add(kGiB, 0.1), std::nullopt);
  EXPECT_EQ(progress.add(kGiB, 4), "model: 20 %, 2.0 GiB of 10.0 GiB loaded, 16 s left");
  EXPECT_EQ(progress.add(6 * kGiB, 8), "model: 80 %, 8.0 GiB of 10.0 GiB loaded, 2 s left");
}

TEST(LoadProgress, ReadingMoreThanThereIsIsTheEnd) {
  LoadProgress progress("model", kGiB, true, 0);
  EXPECT_EQ(progress.add(3 * kGiB, 10), std::nullopt);
  LoadProgress nothing("model", kGiB, true, 0);
  EXPECT_EQ(nothing.add(0, 10), "model: 0 %, 0.0 KiB of 1.0 GiB loaded");
}

}  // namespace
}  // namespace uhd
