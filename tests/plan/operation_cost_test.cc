#include "plan/operation_cost.h"

#include <gtest/gtest.h>

#include <string>

namespace uhd {
namespace {

TEST(Cost, OfAProductCountsEachOperandOnce) {
  const Cost c = matmul_cost(3, 5, 7, 1, 2);
  EXPECT_EQ(c.flops, 2 * 3 * 5 * 7);
  EXPECT_EQ(c.bytes, 5 * 7 * 1 + 3 * (7 + 5) * 2);
  EXPECT_EQ(c.launches, 1);
  EXPECT_EQ(matmul_cost(3, 5, 7, 1, 2, true).bytes, c.bytes + 3 * 5 * 2) << "out is read as well";
}

TEST(Cost, OfCausalAttentionCountsThePairsThatSeeEachOther) {
  // By hand, four queries at the end of ten tokens see 7, 8, 9 and 10 keys.
  const AttentionSpan chunk{4, 10};
  const Cost c = paged_attention_cost({&chunk, 1}, 6, 2, 16, 2);
  EXPECT_EQ(c.flops, 4 * (7 + 8 + 9 + 10) * 6 * 16);
  EXPECT_EQ(c.bytes, (2 * 10 * 2 + 2 * 4 * 6) * 16 * 2);
  EXPECT_EQ(c.launches, 1);
  const AttentionSpan mixed[] = {{1, 10}, {4, 10}, {1, 3}};
  EXPECT_EQ(paged_attention_cost(mixed, 6, 2, 16, 2).launches, 3);
  EXPECT_EQ(paged_attention_cost({}, 6, 2, 16, 2).flops, 0);
}

TEST(Cost, OfPackedAttentionIsThatOfItsSegments) {
  const AttentionSpan segments[] = {{3, 5}, {1, 0}};
  const Cost c = packed_attention_cost(segments, 4, 8, 2);
  EXPECT_EQ(c.flops, 4 * 3 * 5 * 4 * 8);
  EXPECT_EQ(c.bytes, 2 * (3 + 5 + 1 + 0) * 4 * 8 * 2);
}

TEST(Cost, RoofIsTheLongerOfComputingAndMoving) {
  const DeviceRoof device{"small", 100, 10, 0, 5, 1};
  EXPECT_EQ(roof_seconds({.flops = 1000, .bytes = 10}, device), 10);
  EXPECT_EQ(roof_seconds({.flops = 10, .bytes = 1000}, device), 100);
  EXPECT_EQ(all_reduce_seconds(20, 1, device), 0);
  EXPECT_EQ(all_reduce_seconds(20, 4, device), 1.5 * 20 / 5);
}

TEST(Cost, KnowsFourDevices) {
  std::string names;
  for (const DeviceRoof& d : known_devices()) {
    names += d.name;
    EXPECT_GT(d.bf16_flops / d.memory_speed, 100) << "decoding is bound by memory on each of them";
    EXPECT_GT(d.memory_speed, d.link_speed);
  }
  EXPECT_EQ(names, "H100H200A100L40S");
}

}  // namespace
}  // namespace uhd
