#include "kernels/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace uhd {
namespace {

TEST(F16, EveryValueSurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    f16 h;
    h.bits = static_cast<uint16_t>(bits);
    const auto f = static_cast<float>(h);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(f16(f))));
    } else {
      EXPECT_EQ(f16(f).bits, h.bits) << f;
    }
  }
}

TEST(F16, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    f16 low, high;
    low.bits = static_cast<uint16_t>(bits);
    high.bits = static_cast<uint16_t>(bits + 1);
    const float a = static_cast<float>(low), b = static_cast<float>(high), middle = (a + b) / 2;
    EXPECT_EQ(f16(std::nextafter(middle, 0.0f)).bits, low.bits);
    EXPECT_EQ(f16(std::nextafter(middle, b)).bits, high.bits);
    EXPECT_EQ(f16(middle).bits, bits % 2 == 0 ? low.bits : high.bits);
    EXPECT_EQ(f16(-middle).bits, f16(middle).bits | 0x8000);
  }
}

TEST(F16, TooLargeBecomesInfinity) {
  EXPECT_EQ(f16(65519.0f).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(f16(-std::numeric_limits<float>::infinity()).bits, 0xfc00);
}

TEST(Bf16, RoundsToTheNearestEvenAndKeepsNan) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808001u)).bits, 0x3f81);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace uhd
