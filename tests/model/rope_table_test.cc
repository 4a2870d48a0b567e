#include "model/language/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace uhd {
namespace {

LanguageConfig config(RopeScaling rope) {
  LanguageConfig c;
  c.head_dim = 8;
  c.rope_theta = 10000;
  c.context = 64;
  c.rope = rope;
  return c;
}

// Returns the angle whose sine and cosine the table holds, from its sine (small angles).
double sine(const std::vector<float>& table, int position, int i) {
  return table[static_cast<size_t>(position * 8 + 4 + i)];
}

TEST(RopeTable, HoldsCosinesThenSines) {
  const auto table = rope_table(config({}), 3);
  ASSERT_EQ(table.size(), 3u * 8);
  EXPECT_FLOAT_EQ(table[0], 1);
  EXPECT_FLOAT_EQ(table[4], 0);
  EXPECT_FLOAT_EQ(table[16], std::cos(2.0f));
  EXPECT_NEAR(sine(table, 2, 3), std::sin(2.0 / 1000), 1e-7);  // 10000^(6/8)
}

TEST(RopeTable, LinearStretchesEveryFrequency) {
  const auto plain = rope_table(config({}), 3);
  const auto stretched = rope_table(config({.kind = RopeScaling::Kind::linear, .factor = 2}), 3);
  EXPECT_NEAR(sine(stretched, 2, 0), sine(plain, 1, 0), 1e-6);
}

TEST(RopeTable, DynamicChangesOnlyPastTheOriginalContext) {
  const auto plain = rope_table(config({}), 12);
  const auto table =
      rope_table(config({.kind = RopeScaling::Kind::dynamic, .factor = 2, .original_context = 8}), 12);
  EXPECT_EQ(std::vector<float>(table.begin(), table.begin() + 64),
            std::vector<float>(plain.begin(), plain.begin() + 64));
  EXPECT_NE(sine(table, 11, 1), sine(plain, 11, 1));
  const double base = 10000 * std::pow(2.0 * 12 / 8 - 1, 8.0 / 6);
  EXPECT_NEAR(sine(table, 11, 3), std::sin(11 / std::pow(base, 0.75)), 1e-6);
}

TEST(RopeTable, LongRopeChoosesItsFactorsByTheLengthOfTheTable) {
  const LanguageConfig c = config({.kind = RopeScaling::Kind::longrope,
                                   .factor = 4,
                                   .original_context = 16,
                                   .short_factors = {1, 1, 1, 2},
                                   .long_factors = {1, 2, 4, 8}});
  const double scaled = std::sqrt(1 + std::log(4.0) / std::log(16.0));
  EXPECT_NEAR(sine(rope_table(c, 16), 2, 3), scaled * std::sin(2.0 / 1000 / 2), 1e-7);
  EXPECT_NEAR(sine(rope_table(c, 17), 2, 3), scaled * std::sin(2.0 / 1000 / 8), 1e-7);
  LanguageConfig unstretched = c;
  unstretched.rope.factor = 1;
  EXPECT_NEAR(sine(rope_table(unstretched, 16), 2, 0), std::sin(2.0), 1e-6);
}

TEST(RopeTable, Llama3KeepsHighFrequenciesAndStretchesLowOnes) {
  const auto plain = rope_table(config({}), 2);
  const auto table = rope_table(config({.kind = RopeScaling::Kind::llama3,
                                        .factor = 8,
                                        .low_freq_factor = 1,
                                        .high_freq_factor = 4,
                                        .original_context = 64}),
                                2);
  EXPECT_FLOAT_EQ(static_cast<float>(sine(table, 1, 0)), static_cast<float>(sine(plain, 1, 0)));
  EXPECT_NEAR(sine(table, 1, 3), std::sin(0.001 / 8), 1e-8);
}

TEST(RopeTable, YarnScalesAttentionAndLowFrequencies) {
  RopeScaling yarn{.kind = RopeScaling::Kind::yarn, .factor = 4, .original_context = 64};
  const auto table = rope_table(config(yarn), 2);
  const double attention = 0.1 * std::log(4.0) + 1;
  EXPECT_NEAR(table[0], attention, 1e-6);
  EXPECT_NEAR(sine(table, 1, 0), attention * std::sin(1.0), 1e-6);
  EXPECT_NEAR(sine(table, 1, 3), attention * std::sin(0.001 / 4), 1e-8);
}

}  // namespace
}  // namespace uhd
