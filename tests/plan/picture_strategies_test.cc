#include "plan/picture_strategies.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "plan/geometries.h"
#include "plan/paper_claims.h"

namespace uhd {
namespace {

PictureCost row_of(Size picture, const std::string& system) {
  for (PictureCost& cost : picture_costs(picture)) {
    if (cost.system.starts_with(system)) return std::move(cost);
  }
  throw Error("no row of " + system);
}

PaperClaim claim_of(const std::string& begin) {
  for (PaperClaim& claim : paper_claims()) {
    if (claim.claim.starts_with(begin)) return std::move(claim);
  }
  throw Error("no claim " + begin);
}

TEST(PaperClaims, HaveThePapersFigures) {
  const double base = *llava_15_cost({672, 1088}).flops();
  const double narrow = *llava_uhd_cost({672, 1088}, 64, 1024).flops() / base,
               wide = *llava_uhd_cost({672, 1088}, 64, 5120).flops() / base;
  EXPECT_NEAR(base, 15.2e12, 0.1e12);
  EXPECT_LT(narrow, 0.94) << "the paper's figure lies between the widths that it may mean";
  EXPECT_GT(wide, 0.94);
  EXPECT_NEAR(narrow, 0.93, 0.01);
  EXPECT_NEAR(wide, 0.955, 0.01);
  EXPECT_EQ(claim_of("computation at 672x1088 of LLaVA-1.5's, 64").figure, narrow);
  EXPECT_NEAR(claim_of("computation at 672x1088 of LLaVA-1.5's, 144").figure, 1.93, 0.05);
  EXPECT_EQ(claim_of("visual tokens").figure, 448);
  EXPECT_EQ(claim_of("visual tokens").ours, "448 and 6 separators, against 576 and 3456");
  EXPECT_EQ(claim_of("resolution").figure, 6);
  EXPECT_EQ(claim_of("every source pixel").figure, 1);
  EXPECT_LT(claim_of("any aspect ratio").figure, 1.2);
  EXPECT_DOUBLE_EQ(claim_of("LLaVA-1.5's padding at 16:9").figure, 0.4375);
  for (const PaperClaim& claim : paper_claims()) EXPECT_FALSE(claim.derivation.empty()) << claim.claim;
}

TEST(PictureStrategies, CountAsTheirSourcesSay) {
  // OpenAI's own examples: 1024x1024 is 765 tokens, 2048x4096 is 1105.
  EXPECT_EQ(row_of({1024, 1024}, "GPT-4V").tokens, 765);
  EXPECT_EQ(row_of({2048, 4096}, "GPT-4V").tokens, 1105);
  EXPECT_FALSE(row_of({1024, 1024}, "GPT-4V").flops().has_value());
  // Fuyu keeps a small picture, and rows end in a token of their own.
  EXPECT_EQ(row_of({300, 300}, "Fuyu").tokens, 100);
  EXPECT_EQ(row_of({300, 300}, "Fuyu").separators, 10);
  EXPECT_EQ(row_of({3840, 2160}, "Fuyu").tokens, 64 * 36);
  EXPECT_EQ(row_of({10, 10}, "Monkey").tokens, 1792);
  EXPECT_EQ(row_of({10, 10}, "BLIP-2").tokens, 32);
  EXPECT_EQ(row_of({10, 10}, "MiniGPT-v2").tokens, 256);
  EXPECT_EQ(row_of({672, 1008}, "LLaVA-UHD v1, 144").tokens, 1008);
  EXPECT_EQ(row_of({672, 1008}, "LLaVA-UHD v2").tokens, 1008);
  EXPECT_EQ(row_of({672, 1008}, "LLaVA-UHD v4").tokens, 350) << "2x2 slices of 392x560, and an overview";
  EXPECT_EQ(row_of({672, 1008}, "MiniCPM-V 2.6").tokens, 320);
  EXPECT_EQ(row_of({1600, 800}, "LLaVA-UHD v3").tokens, 40 * 20);
  EXPECT_EQ(row_of({100, 100}, "LLaVA-UHD v3").tokens, 12 * 12) << "enlarged to 512x512";
}

// The towers' parameters, at two operations a parameter and token, are those that the papers tell.
TEST(PictureStrategies, TowersHaveThePublishedSizes) {
  const auto parameters = [](const PictureCost& cost, double tokens) {
    return *cost.encoder_flops / (2 * tokens);
  };
  EXPECT_NEAR(parameters(row_of({448, 448}, "MiniGPT-v2"), 1024), 1.0e9, 0.15e9) << "EVA g/14";
  EXPECT_NEAR(parameters(row_of({10, 10}, "Monkey"), 7 * 1024), 1.9e9, 0.4e9) << "bigG/14, with attention";
  EXPECT_NEAR(parameters(llava_15_cost({10, 10}), 576), 0.31e9, 0.04e9) << "CLIP L/14 and the projector";
}

// The paper of v4 says 1573 GFLOP for a slice of 448 pixels where it says 3555 without compression: 44 %.
TEST(PictureStrategies, CompressionInTheTowerCutsWhatItsPaperSays) {
  const PictureCost merged = row_of({448, 448}, "LLaVA-UHD v4");
  ASSERT_EQ(merged.views, 1);
  ASSERT_EQ(merged.tokens, 64);
  const PictureCost plain = row_of({448, 448}, "MiniCPM-V 2.6");
  EXPECT_NEAR(*merged.encoder_flops / *plain.encoder_flops, 1573.0 / 3555, 0.1);
}

TEST(PictureStrategies, OfAnySizeAreWholeOrRefused) {
  for (const Size bad : {Size{0, 5}, Size{5, -1}, Size{32769, 5}, Size{5, int64_t{1} << 40}}) {
    EXPECT_THROW(picture_costs(bad), Error) << bad.width << "x" << bad.height;
  }
  for (const Size picture :
       {Size{1, 1}, Size{1, 32768}, Size{32768, 1}, Size{32768, 32768}, Size{333, 777}}) {
    for (const PictureCost& cost : picture_costs(picture)) {
      EXPECT_GT(cost.tokens, 0) << cost.system;
      EXPECT_GT(cost.views, 0) << cost.system;
      EXPECT_FALSE(cost.source.empty());
      EXPECT_EQ(cost.flops().has_value(), cost.unknown.empty()) << cost.system;
      if (cost.flops()) {
        EXPECT_TRUE(std::isfinite(*cost.flops()));
      }
    }
  }
}

}  // namespace
}  // namespace uhd
