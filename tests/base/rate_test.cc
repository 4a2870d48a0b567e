#include "base/rate.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Rate, IsUnknownBeforeAMeasurement) {
  Rate rate;
  EXPECT_FALSE(rate.known());
  rate.measured(0, 1);
  rate.measured(1, -1);
  rate.measured(1, NAN);
  rate.measured(INFINITY, 1);
  EXPECT_FALSE(rate.known());
}

TEST(Rate, TakesPiecesOfOneMeasurementTogether) {
  Rate rate;
  for (int i = 0; i < 100; ++i) {
    rate.measured(10, 2);
    rate.measured(10, 0);  // the second piece of the same
  }
  EXPECT_NEAR(rate.seconds_per_unit(), 0.1, 0.006);
}

TEST(Rate, ForgetsWhatWasLongAgo) {
  Rate rate;
  rate.measured(10, 100);
  for (int i = 0; i < 100; ++i) rate.measured(10, 1);
  EXPECT_NEAR(rate.seconds_per_unit(), 0.1, 1e-3);
}

}  // namespace
}  // namespace uhd
