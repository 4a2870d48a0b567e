#include "tests/kernels/support.h"

namespace uhd {
namespace {

using VisionOperations = OperationTest;

TEST_P(VisionOperations, PatchifyTakesSlicesOfUnequalSize) {
  std::mt19937 random(3);
  std::vector<uint8_t> pixels(5 + 3 * (28 * 42 + 14 * 14));
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(random());
  const std::vector<PixelSlice> slices = {{2, 28, 42}, {3 * 28 * 42 + 5, 14, 14}};
  const PatchNormalisation normalisation{{0.48f, 0.46f, 0.41f}, {0.27f, 0.26f, 0.28f}};
  Rows out({7, 588}, 3);
  backend_->patchify(out, Tensor::of(pixels.data(), {static_cast<int64_t>(pixels.size())}), slices, 14,
                     normalisation);
  expect_close(out, reference::patchify(pixels, slices, 14, normalisation), 1e-6);
  EXPECT_TRUE(out.untouched());
}

TEST_P(VisionOperations, InterpolatesPositionsUpAndDown) {
  const Rows table({49, 10}, 2);
  for (const auto& [h, w] : std::vector<std::pair<int, int>>{{7, 7}, {3, 11}, {1, 1}, {20, 5}}) {
    Rows out({int64_t{h} * w, 10}, 3);
    backend_->interpolate_positions(out, table, h, w);
    expect_close(out, reference::interpolate_positions(table, h, w), 2e-5);
    EXPECT_TRUE(out.untouched());
  }
}

TEST_P(VisionOperations, RegionAlignCutsGridsIntoWindows) {
  const Rows x({400, 9}, 2);
  const std::vector<AlignGrid> grids = {
      {.first_row = 0, .rows = 24, .columns = 12, .first_out = 0, .bin_rows = 2, .bin_columns = 4},
      {.first_row = 290, .rows = 5, .columns = 17, .first_out = 1152, .bin_rows = 3, .bin_columns = 2},
      {.first_row = 399,
       .rows = 1,
       .columns = 1,
       .first_out = 2016,
       .window_rows = 2,
       .window_columns = 3,
       .bin_rows = 2,
       .bin_columns = 2}};
  Rows out({2040, 9}, 1);
  backend_->region_align(out, x, grids);
  for (const AlignGrid& g : grids) {
    const reference::Values want = reference::region_align(x, g);
    expect_close(out.tensor().slice_rows(g.first_out, static_cast<int64_t>(want.size()) / 9), want, 2e-5);
  }
  EXPECT_TRUE(out.untouched());
}

UHD_FOR_EVERY_BACKEND(VisionOperations);

}  // namespace
}  // namespace uhd
