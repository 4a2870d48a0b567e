// Slices packed into passes of a tower that compresses inside: how many rows a slice becomes follows from its
// size, and rows come out slice after slice however the passes are cut.
#include "model/vision/vision_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr int kPatch = 2;

// Merges four patches to a row, whose two values are the slice's first byte and the row's number in the
// slice.
class MergingTower final : public VisionTower {
 public:
  MergingTower(Backend& backend, std::vector<size_t>& passes) : backend_(backend), passes_(passes) {}
  Parts forward(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, Workspace&) override {
    passes_.push_back(slices.size());
    std::vector<float> values;
    for (const PixelSlice& slice : slices) {
      const int rows = slice.width * slice.height / (kPatch * kPatch * 4);
      for (int row = 0; row < rows; ++row) {
        values.push_back(pixels.data<uint8_t>()[slice.offset]);
        values.push_back(static_cast<float>(row));
      }
    }
    co_yield Parts::Pause{};
    backend_.upload(out, Tensor::of(values.data(), out.shape()));
  }
  void prepare(Tensor, int64_t, int, Workspace&) override {}

 private:
  Backend& backend_;
  std::vector<size_t>& passes_;
};

class VisionEncoders : public testing::Test {
 protected:
  VisionEncoder encoder(EncoderLimits limits) {
    return {std::make_unique<MergingTower>(*backend_, passes_),
            {kPatch, {.patches_per_row = 4}, 2},
            *backend_,
            limits,
            std::make_shared<Workspace>(*backend_, 1024)};
  }
  // A slice of so many patches, every byte `value`.
  SliceView slice(int columns, int rows, uint8_t value) {
    pixels_.emplace_back(static_cast<size_t>(columns * rows * kPatch * kPatch * 3), value);
    return {columns * kPatch, rows * kPatch, pixels_.back()};
  }

  std::unique_ptr<Backend> backend_ = make_backend({.kind = "cpu", .threads = 1});
  std::vector<size_t> passes_;
  std::vector<std::vector<uint8_t>> pixels_;
};

TEST_F(VisionEncoders, SlicesHaveDifferentNumbersOfRows) {
  VisionEncoder encoder = this->encoder({.max_patches = 24, .max_slices = 4});
  const std::vector<SliceView> slices{slice(2, 2, 10), slice(4, 4, 20), slice(4, 2, 30)};
  const VisualTokens tokens = encoder.encode(slices);
  ASSERT_EQ(tokens.slices.size(), 3U);
  EXPECT_EQ(tokens.slices[1].first, 1);
  EXPECT_EQ(tokens.slices[1].count, 4);
  EXPECT_EQ(tokens.slices[2].first, 5);
  EXPECT_EQ(tokens.slices[2].count, 2);
  const std::vector<float> found(tokens.rows.data<float>(), tokens.rows.data<float>() + 14);
  EXPECT_THAT(found, testing::ElementsAre(10, 0, 20, 0, 20, 1, 20, 2, 20, 3, 30, 0, 30, 1));
  // 4 + 16 patches are a pass; 8 more are too many.
  EXPECT_THAT(passes_, testing::ElementsAre(2, 1));
}

TEST(SliceRows, FollowTheSlicesSizeOrAreTheSameForEach) {
  const SliceRows merged{.patches_per_row = 16}, fixed{.each = 64};
  EXPECT_EQ(merged.of({28, 40}), 70);
  EXPECT_EQ(fixed.of({28, 40}), 64);
  EXPECT_EQ(merged.most(4096, 16), 256);
  EXPECT_EQ(fixed.most(4096, 16), 1024);
}

TEST(SliceRows, OfAModelWithoutATowerAreAnError) { EXPECT_THROW(slice_rows_of({}), Error); }

TEST(SliceRows, AreTheQueriesOfAResamplerThatHasThem) {
  ModelConfig model;
  model.vision.emplace();
  EXPECT_EQ(slice_rows_of(model).of({24, 24}), 576);
  model.resampler = {.kind = ResamplerKind::spatial, .queries = 144};
  EXPECT_EQ(slice_rows_of(model).of({24, 24}), 144);
}

}  // namespace
}  // namespace uhd
