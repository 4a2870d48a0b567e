#include "model/vision/exif.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/model/image_files.h"

namespace uhd {
namespace {

TEST(Exif, ReadsTheOrientationInBothByteOrders) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(exif_orientation(exif_block(orientation, false)), orientation);
    EXPECT_EQ(exif_orientation(exif_block(orientation, true)), orientation);
    EXPECT_EQ(exif_orientation(std::string("Exif\0\0", 6) + exif_block(orientation)), orientation);
  }
}

TEST(Exif, TakesAnythingElseForUpright) {
  EXPECT_EQ(exif_orientation(""), 1);
  EXPECT_EQ(exif_orientation("II"), 1);
  EXPECT_EQ(exif_orientation("not a TIFF block at all, but long"), 1);
  EXPECT_EQ(exif_orientation(exif_block(0)), 1);
  EXPECT_EQ(exif_orientation(exif_block(9)), 1);
  EXPECT_EQ(exif_orientation(exif_block(65535)), 1);
}

TEST(Exif, TakesATruncatedBlockForUpright) {
  const std::string whole = exif_block(6);
  const size_t value_end = 8 + 2 + 12 + 10;
  for (size_t length = 0; length < value_end; ++length) {
    EXPECT_EQ(exif_orientation(whole.substr(0, length)), 1) << length;
  }
}

TEST(Exif, EndsOnADirectoryThatPointsAnywhere) {
  for (const uint32_t offset : {0u, 4u, 7u, 9u, 1000u, 0x7fffffffu, 0xfffffff0u, 0xffffffffu}) {
    std::string block = exif_block(6);
    for (int i = 0; i < 4; ++i) block[4 + i] = static_cast<char>(offset >> (8 * i));
    EXPECT_EQ(exif_orientation(block), 1) << offset;
  }
}

TEST(Exif, EndsOnADirectoryThatClaimsMoreEntriesThanThereAre) {
  std::string block = exif_block(6);
  block[8] = block[9] = '\xff';
  EXPECT_EQ(exif_orientation(block), 6);
  block[22] = '\0';  // no orientation in it
  EXPECT_EQ(exif_orientation(block), 1);
}

TEST(Exif, StaysWithinOneToEightForRandomDamage) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string block = exif_block(1 + round % 8, round % 2 == 0);
    for (int flips = 0; flips < 3; ++flips) block[random() % block.size()] = static_cast<char>(random());
    const int orientation = exif_orientation(block);
    EXPECT_GE(orientation, 1);
    EXPECT_LE(orientation, 8);
  }
}

}  // namespace
}  // namespace uhd
