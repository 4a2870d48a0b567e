#include "plan/step_cost.h"

#include <gtest/gtest.h>

#include "plan/geometries.h"

namespace uhd {
namespace {

StepCost decode(const LanguageConfig& language, int sequences, int64_t keys, int ranks) {
  const std::vector<AttentionSpan> spans(static_cast<size_t>(sequences), {1, keys});
  return language_step_cost(language, spans, sequences, ranks);
}

TEST(StepCost, OfDecodingIsReadingTheWeightsAndTheCache) {
  // All weights but the rows of the embedding that are not looked up, and the cache, once; the rest is below
  // 1 %.
  const double embedding = 2.0 * k7b.vocabulary * k7b.hidden;
  for (const int64_t keys : {1, 1024, 8192}) {
    const double want = weight_bytes(k7b, 1) - embedding + static_cast<double>(keys) * kv_token_bytes(k7b, 1);
    const double bytes = decode(k7b, 1, keys, 1).total().bytes;
    EXPECT_GT(bytes, want);
    EXPECT_LT(bytes, 1.01 * want);
  }
  EXPECT_NEAR(weight_bytes(k7b, 1), 13.48e9, 0.01e9) << "6.74 billion parameters";
  EXPECT_EQ(kv_token_bytes(k7b, 1), 524288);
}

TEST(StepCost, OfAPromptIsTwoOperationsAParameterAndToken) {
  const AttentionSpan prompt{512, 512};
  const Cost cost = language_step_cost(k7b, {&prompt, 1}, 1, 1).total();
  const double parameters = (weight_bytes(k7b, 1) / 2) - 2.0 * k7b.vocabulary * k7b.hidden;
  EXPECT_NEAR(cost.flops / (2 * 512 * parameters), 1.0, 0.03);
}

TEST(StepCost, IsSharedAmongRanks) {
  const StepCost one = decode(k7b, 8, 1024, 1), two = decode(k7b, 8, 1024, 2);
  EXPECT_NEAR(two.total().bytes / one.total().bytes, 0.5, 0.01);
  EXPECT_NEAR(two.total().flops / one.total().flops, 0.5, 0.01);
  EXPECT_EQ(one.all_reduces, 0);
  EXPECT_EQ(two.all_reduces, 65) << "two a layer, and the embedding";
  EXPECT_EQ(two.all_reduce_bytes, 8 * 4096 * 2);
  EXPECT_GT(weight_bytes(k7b, 1), 1.99 * weight_bytes(k7b, 2));
}

TEST(StepCost, QuantizedWeightsAreFewerBytesAndAsManyOperations) {
  // The embedding stays in bf16, and four bits with a scale of two bytes for 32 are 4.5.
  const double table = 2.0 * k7b.vocabulary * k7b.hidden, head = table / 2,
               matrices = weight_bytes(k7b, 1) - table;
  EXPECT_NEAR(weight_bytes(k7b, 1, WeightFormat::int8), table + matrices / 2, 0.001 * matrices);
  EXPECT_NEAR(weight_bytes(k7b, 1, WeightFormat::int4), table + head + (matrices / 2 - head) * 4.5 / 8,
              0.001 * matrices);
  const AttentionSpan span{1, 1024};
  const Cost plain = language_step_cost(k7b, {&span, 1}, 1, 1).total();
  for (const WeightFormat format : {WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4}) {
    const Cost cost = language_step_cost(k7b, {&span, 1}, 1, 1, format).total();
    EXPECT_EQ(cost.flops, plain.flops);
    EXPECT_NEAR(plain.bytes - cost.bytes, weight_bytes(k7b, 1) - weight_bytes(k7b, 1, format), 1);
  }
}

TEST(StepCost, GroupedHeadsReadLessCache) {
  LanguageConfig grouped = k7b;
  grouped.kv_heads = 8;
  EXPECT_EQ(kv_token_bytes(grouped, 1) * 4, kv_token_bytes(k7b, 1));
  EXPECT_LT(decode(grouped, 32, 4096, 1).total().bytes, 0.5 * decode(k7b, 32, 4096, 1).total().bytes);
}

TEST(StepCost, OfTheTowerFollowsItsSlices) {
  const VisionConfig tower{.layers = 23, .hidden = 1024, .heads = 16, .intermediate = 4096};
  const ResamplerConfig resampler{
      .kind = ResamplerKind::perceiver, .queries = 64, .width = 4096, .heads = 32};
  const std::vector<PatchGrid> one(1, {24, 24}), seven(7, {24, 24});
  const Cost a = vision_cost(tower, resampler, 4096, one).total();
  const Cost b = vision_cost(tower, resampler, 4096, seven).total();
  EXPECT_NEAR(b.flops / a.flops, 7, 1e-9);
  EXPECT_LT(b.bytes, 7 * a.bytes) << "weights are read once";
  EXPECT_EQ(a.launches, b.launches);
  // 23 layers of 12 W² weights over 577 rows, and attention.
  EXPECT_GT(a.flops, 23 * 2 * 577 * 12 * 1024.0 * 1024);
  const ResamplerConfig spatial{.kind = ResamplerKind::spatial, .queries = 144, .width = 4096, .heads = 32};
  EXPECT_GT(vision_cost(tower, spatial, 4096, seven).total().launches, b.launches) << "slice by slice";
  const std::vector<PatchGrid> wide(1, {18, 32});
  EXPECT_NE(vision_cost(tower, spatial, 4096, wide).total().flops,
            vision_cost(tower, spatial, 4096, one).total().flops)
      << "windows of other shapes have other numbers of samples";
}

TEST(StepCost, RoofAddsKernelsAndAllReduces) {
  const DeviceRoof& h100 = known_devices()[0];
  const StepCost two = decode(k7b, 8, 1024, 2);
  double kernels = 0;
  for (const KernelCost& k : two.kernels) kernels += k.count * roof_seconds(k.each, h100);
  EXPECT_DOUBLE_EQ(roof_seconds(two, h100), kernels + 65 * all_reduce_seconds(8 * 4096 * 2, 2, h100));
  EXPECT_GE(kernels * (1 + 1e-9), roof_seconds(two.total(), h100));
}

TEST(StepRoof, SaysHowFastAtBestAndWhetherItFits) {
  const DeviceRoof device{"small", 1e14, 1e12, 20e9, 1e11, 100};
  const std::vector<AttentionSpan> spans(4, {1, 1000});
  const StepRoof one = step_roof(k7b, spans, 4, 1, WeightFormat::bf16, device);
  EXPECT_EQ(one.seconds, roof_seconds(decode(k7b, 4, 1000, 1), device));
  EXPECT_EQ(one.resident_bytes, weight_bytes(k7b, 1) + 4000 * kv_token_bytes(k7b, 1));
  EXPECT_TRUE(one.fits) << "15.6 of 20 GB";
  const std::vector<AttentionSpan> longer(4, {1, 2500});
  EXPECT_FALSE(step_roof(k7b, longer, 4, 1, WeightFormat::bf16, device).fits) << "18.7 GB";
  EXPECT_TRUE(step_roof(k7b, longer, 4, 2, WeightFormat::bf16, device).fits);
  EXPECT_TRUE(step_roof(k7b, longer, 4, 1, WeightFormat::int4, device).fits);
  EXPECT_LT(step_roof(k7b, longer, 4, 1, WeightFormat::int4, device).seconds, one.seconds);
}

}  // namespace
}  // namespace uhd
