#include "base/bytes_text.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(BytesText, TakesTheLargestUnitThatFits) {
  EXPECT_EQ(bytes_text(0), "0.0 KiB");
  EXPECT_EQ(bytes_text(64 << 10), "64.0 KiB");
  EXPECT_EQ(bytes_text((3 << 20) + (100 << 10)), "3.1 MiB");
  EXPECT_EQ(bytes_text(int64_t{129} << 30 >> 1), "64.5 GiB");
  EXPECT_EQ(bytes_text(int64_t{1} << 41), "2048.0 GiB");
}

}  // namespace
}  // namespace uhd
