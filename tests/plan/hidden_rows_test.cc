#include "plan/hidden_rows.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "plan/geometries.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

const std::vector<AttentionSpan> kEight(8, {1, 1024});

DeviceRoof device_of(double flops, double speed) { return {"a device", flops, speed, 80e9, 1e15, 100}; }

double with_prompt(int rows, const DeviceRoof& device) {
  std::vector<AttentionSpan> spans = kEight;
  spans.push_back({rows, rows});
  return step_roof(k7b, spans, 9, 1, WeightFormat::bf16, device).seconds;
}

TEST(HiddenRows, EndWhereTheStepBeginsToCompute) {
  // Every weight of two bytes is read while a device does so many operations on it, two for a row.
  for (const double rows_a_read : {100.0, 200.0, 400.0}) {
    const DeviceRoof device = device_of(1e12 * rows_a_read, 1e12);
    const HiddenRows hidden = hidden_prefill_rows(k7b, kEight, 1, WeightFormat::bf16, device);
    EXPECT_GT(hidden.rows, 0.8 * rows_a_read - 8);
    EXPECT_LT(hidden.rows, 1.5 * rows_a_read);
    const int rows = hidden.rows;
    EXPECT_EQ(hidden.with_rows_s, with_prompt(rows, device));
    EXPECT_EQ(hidden.step_s, step_roof(k7b, kEight, 8, 1, WeightFormat::bf16, device).seconds);
    // Further rows cost at least twice what these did.
    EXPECT_GT(with_prompt(2 * rows, device) - hidden.with_rows_s,
              2 * (hidden.with_rows_s - with_prompt(8, device)));
  }
}

TEST(HiddenRows, AreFewerWhereWeightsAreSmaller) {
  const DeviceRoof& h100 = known_devices()[0];
  const auto rows = [&](WeightFormat format) {
    return hidden_prefill_rows(k7b, kEight, 1, format, h100).rows;
  };
  EXPECT_GT(rows(WeightFormat::bf16), rows(WeightFormat::int8));
  EXPECT_GT(rows(WeightFormat::int8), rows(WeightFormat::int4));
  EXPECT_GT(rows(WeightFormat::int4), 0);
}

TEST(HiddenRows, AreNoneWhereALinkIsTheWay) {
  DeviceRoof slow = device_of(300e12, 1e12);
  slow.link_speed = 1e9;
  EXPECT_EQ(hidden_prefill_rows(k7b, kEight, 2, WeightFormat::bf16, slow).rows, 0);
}

TEST(HiddenRows, HaveALimitWhereComputingIsFree) {
  const HiddenRows hidden = hidden_prefill_rows(k7b, kEight, 1, WeightFormat::bf16, device_of(1e30, 1e12));
  EXPECT_LE(hidden.rows, 16384);
}

TEST(HiddenRows, NeedAStep) {
  EXPECT_THROW(hidden_prefill_rows(k7b, {}, 1, WeightFormat::bf16, known_devices()[0]), Error);
}

}  // namespace
}  // namespace uhd
