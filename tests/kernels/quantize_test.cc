// Tests codes and scales themselves: the bounds that kernels/quantize.h promises.
#include "kernels/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/reference/ops.h"

namespace uhd {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4};

double value_of(uint8_t code, WeightFormat format) {
  return format == WeightFormat::fp8 ? from_e4m3(code) : static_cast<int8_t>(code);
}

// Rows of very different sizes, with some large outliers.
std::vector<float> weights(int64_t n, int64_t k) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> values;
  for (int64_t row = 0; row < n; ++row) {
    const float size = std::exp2(static_cast<float>(row % 40) - 20);
    for (int64_t i = 0; i < k; ++i) values.push_back(normal(random) * size * (i % 37 == 5 ? 8.0f : 1.0f));
  }
  return values;
}

TEST(Quantize, E4m3HoldsItsOwnValues) {
  for (int code = 0; code < 256; ++code) {
    if ((code & 0x7f) == 0x7f) continue;  // NaN
    EXPECT_EQ(to_e4m3(from_e4m3(static_cast<uint8_t>(code))), code);
  }
  EXPECT_EQ(from_e4m3(0x7e), 448.0f);
  EXPECT_EQ(from_e4m3(0x08), 0x1p-6f);
  EXPECT_EQ(from_e4m3(0x81), -0x1p-9f);
}

TEST(Quantize, E4m3RoundsToNearestEvenAndSaturates) {
  for (int code = 0; code < 0x7e; ++code) {
    const float low = from_e4m3(static_cast<uint8_t>(code)), high = from_e4m3(static_cast<uint8_t>(code + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(to_e4m3(middle), code + code % 2) << code;
    EXPECT_EQ(to_e4m3(std::nextafter(middle, 0.0f)), code) << code;
    EXPECT_EQ(to_e4m3(-std::nextafter(middle, 500.0f)), (code + 1) | 0x80) << code;
  }
  EXPECT_EQ(to_e4m3(1e9f), 0x7e);
  EXPECT_EQ(to_e4m3(-449.0f), 0xfe);
}

TEST(Quantize, StaysWithinItsErrorAndExactInBfloat16) {
  constexpr int64_t kN = 80, kK = 211;
  const std::vector<float> values = weights(kN, kK);
  const Tensor host = Tensor::of(values.data(), {kN, kK});
  for (const WeightFormat format : kFormats) {
    SCOPED_TRACE(name_of(format));
    const reference::Values want = reference::dequantized(host, format);
    RowQuantizer rows(host, {}, format);
    for (int64_t row = 0; row < kN; ++row) {
      rows.quantize(row);
      ASSERT_EQ(rows.codes().size(), static_cast<size_t>(kK));
      ASSERT_EQ(rows.scales().size(), static_cast<size_t>(format == WeightFormat::int4 ? groups_of(kK) : 1));
      for (int64_t i = 0; i < kK; ++i) {
        const double w = values[row * kK + i];
        const double scale = rows.scales()[format == WeightFormat::int4 ? i / kGroup : 0];
        const double held = value_of(rows.codes()[i], format) * scale;
        const double bound =
            format == WeightFormat::fp8 ? std::max(std::abs(w) / 16, scale / 1024) : scale / 2;
        EXPECT_LE(std::abs(w - held), bound * (1 + 1e-6)) << "row " << row << ", column " << i;
        EXPECT_EQ(held, want[row * kK + i]) << "row " << row << ", column " << i;
        if (format != WeightFormat::int8) {
          EXPECT_EQ(static_cast<float>(bf16(static_cast<float>(held))), held);
        }
      }
    }
  }
}

TEST(Quantize, ZerosStayZeroAndWhatIsNotFiniteSpoilsItsScale) {
  std::vector<float> values(2 * 64, 0.0f);
  values[64 + 40] = INFINITY;
  const Tensor host = Tensor::of(values.data(), {2, 64});
  for (const WeightFormat format : kFormats) {
    SCOPED_TRACE(name_of(format));
    RowQuantizer rows(host, {}, format);
    rows.quantize(0);
    for (const uint8_t code : rows.codes()) EXPECT_EQ(code, 0);
    for (const float scale : rows.scales()) EXPECT_EQ(scale, 0);
    rows.quantize(1);
    EXPECT_TRUE(std::isnan(rows.scales().back()));
  }
}

TEST(Quantize, CountsBytes) {
  EXPECT_EQ(bytes_of(WeightFormat::f32, 3, 100), 1200u);
  EXPECT_EQ(bytes_of(WeightFormat::bf16, 3, 100), 600u);
  EXPECT_EQ(bytes_of(WeightFormat::fp8, 3, 100), 312u);
  EXPECT_EQ(bytes_of(WeightFormat::int8, 3, 100), 312u);
  EXPECT_EQ(bytes_of(WeightFormat::int4, 3, 100), 3 * (50 + 2 * 4u));
}

}  // namespace
}  // namespace uhd
