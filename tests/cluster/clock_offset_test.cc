#include "cluster/clock_offset.h"

#include <gtest/gtest.h>

#include <limits>

namespace uhd {
namespace {

constexpr int64_t kMs = 1'000'000;

TimePoint at_ms(int64_t ms) { return TimePoint(std::chrono::milliseconds(ms)); }

TEST(ClockOffset, FollowsFromTheFourTimesOfAnExchange) {
  ClockOffset clock;
  EXPECT_FALSE(clock.known());
  // The other clock is 5000 ms ahead; both ways take 2 ms, and the work there takes 10.
  clock.exchanged(at_ms(100), 5102 * kMs, 5112 * kMs, at_ms(114));
  ASSERT_TRUE(clock.known());
  EXPECT_EQ(clock.here(5106 * kMs), at_ms(106));
  EXPECT_NEAR(clock.error(), 0.002, 1e-9);
}

TEST(ClockOffset, TheErrorBoundsWhatUnequalWaysMake) {
  ClockOffset clock;
  clock.exchanged(at_ms(100), 5100 * kMs, 5110 * kMs, at_ms(118));  // 0 ms there, 8 ms back
  EXPECT_EQ(clock.here(5100 * kMs), at_ms(104));
  EXPECT_NEAR(clock.error(), 0.004, 1e-9);
}

TEST(ClockOffset, TheQuickestOfTheLastEightCounts) {
  ClockOffset clock;
  clock.exchanged(at_ms(0), 5001 * kMs, 5001 * kMs, at_ms(2));
  for (int64_t i = 1; i < 8; ++i)
    clock.exchanged(at_ms(10 * i), (5000 + 10 * i) * kMs, (5000 + 10 * i) * kMs, at_ms(10 * i + 8));
  EXPECT_NEAR(clock.error(), 0.001, 1e-9);
  clock.exchanged(at_ms(90), 5090 * kMs, 5090 * kMs, at_ms(98));
  EXPECT_NEAR(clock.error(), 0.004, 1e-9) << "the first is too old";
}

TEST(ClockOffset, ExchangesOfLongAgoDoNotCount) {
  ClockOffset clock;
  clock.exchanged(at_ms(0), 5001 * kMs, 5001 * kMs, at_ms(2));
  clock.exchanged(at_ms(9000), 14'000 * kMs, 14'000 * kMs, at_ms(9008));
  EXPECT_NEAR(clock.error(), 0.001, 1e-9);
  clock.exchanged(at_ms(11'000), 16'000 * kMs, 16'000 * kMs, at_ms(11'008));
  EXPECT_NEAR(clock.error(), 0.004, 1e-9) << "clocks have drifted since the first";
}

TEST(ClockOffset, LeavesOutWhatCannotHaveBeen) {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
  ClockOffset clock;
  clock.exchanged(at_ms(0), 5 * kMs, 4 * kMs, at_ms(10));   // it answered before it heard
  clock.exchanged(at_ms(0), 5 * kMs, 50 * kMs, at_ms(10));  // it worked for longer than we waited
  clock.exchanged(at_ms(10), 5 * kMs, 6 * kMs, at_ms(0));   // we heard before we spoke
  clock.exchanged(at_ms(0), 0, 0, at_ms(10));               // it does not know
  clock.exchanged(at_ms(0), kLast, kLast, at_ms(10));
  clock.exchanged(at_ms(0), kFirst, kLast, at_ms(10));
  EXPECT_FALSE(clock.known());
  clock.exchanged(at_ms(0), 5 * kMs, 6 * kMs, at_ms(10));
  ASSERT_TRUE(clock.known());
  EXPECT_GT(clock.here(kLast), at_ms(0)) << "and nothing overflows";
  EXPECT_LE(clock.here(kFirst), at_ms(0));
}

}  // namespace
}  // namespace uhd
