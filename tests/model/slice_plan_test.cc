#include "model/vision/slice_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace uhd {
namespace {

SlicingConfig uhd_config(int max_slices = 7) { return {.scale = 336, .patch = 14, .max_slices = max_slices}; }

TEST(SlicePlan, CutsThePapersExampleIntoTwoByThreeNativeCells) {
  const SlicePlan plan = plan_slices({672, 1008}, uhd_config());
  EXPECT_EQ(plan.columns, 2);
  EXPECT_EQ(plan.rows, 3);
  EXPECT_EQ(plan.cell, (Size{336, 336}));
  EXPECT_EQ(plan.refined, (Size{672, 1008}));
  EXPECT_EQ(plan.overview, (Size{266, 406}));
  EXPECT_EQ(total_patches(plan, 14), 6 * 24 * 24 + 19 * 29);
}

TEST(SlicePlan, GivesASmallImageOnlyAnOverviewScaledUp) {
  const SlicePlan plan = plan_slices({100, 100}, uhd_config());
  EXPECT_EQ(plan.slices(), 0);
  EXPECT_EQ(plan.pieces(), 1);
  EXPECT_EQ(plan.overview, (Size{336, 336}));
  EXPECT_EQ(plan.piece(0), plan.overview);
}

TEST(SlicePlan, GivesASquareOfSixSlicesThreeColumns) {
  const SlicePlan plan = plan_slices({823, 823}, uhd_config(6));
  EXPECT_EQ(plan.columns, 3);
  EXPECT_EQ(plan.rows, 2);
}

TEST(SlicePlan, NamesTheLastPieceTheOverview) {
  const SlicePlan plan = plan_slices({672, 1008}, uhd_config());
  EXPECT_EQ(plan.pieces(), 7);
  EXPECT_EQ(plan.piece(5), plan.cell);
  EXPECT_EQ(plan.piece(6), plan.overview);
}

TEST(SlicePlan, KeepsEverySideADivisibleNumberOfPatchesForAnySize) {
  for (int64_t width : {1, 13, 14, 335, 336, 337, 1000, 4096, 32768}) {
    for (int64_t height : {1, 15, 336, 671, 1088, 3000, 32768}) {
      for (int max_slices : {1, 2, 6, 7, 9, 31}) {
        const SlicePlan plan = plan_slices({width, height}, uhd_config(max_slices));
        EXPECT_LE(plan.slices(), max_slices);
        EXPECT_NE(plan.slices(), 1);
        for (int i = 0; i < plan.pieces(); ++i) {
          EXPECT_GE(plan.piece(i).width, 14);
          EXPECT_EQ(plan.piece(i).width % 14, 0);
          EXPECT_GE(plan.piece(i).height, 14);
          EXPECT_EQ(plan.piece(i).height % 14, 0);
        }
      }
    }
  }
}

TEST(SlicePlan, MakesOneSquareForTheBaselineKinds) {
  for (auto kind : {SlicingConfig::Kind::pad_square, SlicingConfig::Kind::centre_crop}) {
    SlicingConfig config = uhd_config();
    config.kind = kind;
    const SlicePlan plan = plan_slices({4000, 17}, config);
    EXPECT_EQ(plan.slices(), 0);
    EXPECT_EQ(plan.overview, (Size{336, 336}));
    EXPECT_EQ(plan.source, (Size{4000, 17}));
  }
}

TEST(SlicePlan, RefusesSidesThatAreNotPositiveOrAbsurd) {
  for (const Size bad :
       {Size{0, 10}, Size{10, 0}, Size{-1, 10}, Size{10, std::numeric_limits<int64_t>::min()},
        Size{std::numeric_limits<int64_t>::max(), 1}}) {
    EXPECT_THROW(plan_slices(bad, uhd_config()), Error);
  }
}

TEST(SlicePlan, RefusesASideThatVanishesInThePrescale) {
  SlicingConfig config = uhd_config();
  config.prescale_longest = 1024;
  EXPECT_THROW(plan_slices({1, 1025}, config), Error);
  EXPECT_EQ(plan_slices({1, 1024}, config).source, (Size{1, 1024}));
}

TEST(SlicePlan, RefusesAnAbsurdConfig) {
  const auto refused = [](auto change) {
    SlicingConfig config = uhd_config();
    change(config);
    EXPECT_THROW(plan_slices({100, 100}, config), Error);
  };
  refused([](SlicingConfig& config) { config.scale = 0; });
  refused([](SlicingConfig& config) { config.patch = 0; });
  refused([](SlicingConfig& config) { config.patch = 337; });
  refused([](SlicingConfig& config) { config.max_slices = 0; });
  refused([](SlicingConfig& config) { config.prescale_longest = -1; });
}

TEST(SlicePlan, CountsQueriesOfEveryPiece) {
  ModelConfig config;
  config.resampler = {.kind = ResamplerKind::perceiver, .queries = 64};
  const SlicePlan plan = plan_slices({672, 1008}, uhd_config());
  EXPECT_EQ(tokens_of_piece(plan, 6, config), 64);
  EXPECT_EQ(visual_tokens(plan, config), 448);
  config.resampler.queries = 144;
  EXPECT_EQ(visual_tokens(plan, config), 1008);
}

TEST(SlicePlan, CountsPatchesWhereTheResamplerHasNoQueries) {
  ModelConfig config;
  config.vision = VisionConfig{.patch = 14, .image = 336};
  config.slicing = {.kind = SlicingConfig::Kind::pad_square};
  const SlicePlan plan = plan_slices({640, 480}, config.slicing);
  EXPECT_EQ(visual_tokens(plan, config), 576);
}

TEST(SlicePlan, CountsTheTokensOfTheLayout) {
  ImageLayout layout{.column_separator = {7}, .row_separator = {8, 9}};
  const SlicePlan page = plan_slices({672, 1008}, uhd_config()), small = plan_slices({10, 10}, uhd_config());
  EXPECT_EQ(separator_tokens(page, layout), 3 * 1 + 3 * 2) << "two columns, three rows";
  EXPECT_EQ(wrapping_tokens(page, layout), 0);
  layout.separator_after_last_row = false;
  layout.before_overview = {1, 2};
  layout.after_overview = {3};
  layout.before_slice = {4};
  layout.after_slice = {5, 6};
  EXPECT_EQ(separator_tokens(page, layout), 3 * 1 + 2 * 2);
  EXPECT_EQ(wrapping_tokens(page, layout), 3 + 6 * 3);
  EXPECT_EQ(separator_tokens(small, layout), 0);
  EXPECT_EQ(wrapping_tokens(small, layout), 3);
}

TEST(SlicePlan, RefusesAPieceOutsideThePlan) {
  ModelConfig config;
  config.resampler = {.kind = ResamplerKind::perceiver, .queries = 64};
  const SlicePlan plan = plan_slices({10, 10}, uhd_config());
  EXPECT_THROW(tokens_of_piece(plan, 1, config), Error);
  EXPECT_THROW(tokens_of_piece(plan, -1, config), Error);
}

}  // namespace
}  // namespace uhd
