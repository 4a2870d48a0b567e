// A batch that fails is encoded slice by slice, and what a failed pass took comes back.
#include "engine/slices/batch_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr uint64_t kBad = 13;

class BatchEncoderTest : public testing::Test {
 protected:
  BatchEncoderTest() {
    for (uint64_t i = 0; i < slices_.size(); ++i) slices_[i].fingerprint = {i + 1, i + 1};
  }
  std::vector<BatchEncoder::Item> items() const {
    std::vector<BatchEncoder::Item> items;
    for (size_t i = 0; i < slices_.size(); ++i) items.push_back({&slices_[i], static_cast<int>(i) + 1});
    return items;
  }
  // Every row holds its slice's number.
  Parts fill(std::span<const Slice* const> slices, Tensor rows) {
    calls_.push_back(slices.size());
    int64_t row = 0;
    for (const Slice* slice : slices) {
      const uint64_t number = slice->fingerprint.low;
      if (number == kBad) throw Error("this one cannot be encoded");
      co_yield Parts::Pause{};
      for (uint64_t i = 0; i < number; ++i) *rows.row<float>(row++) = static_cast<float>(number);
    }
  }

  std::vector<BatchEncoder::Pass> encode(std::span<const BatchEncoder::Item> batch) {
    std::vector<BatchEncoder::Pass> passes;
    encoder_.encode(batch, passes).finish();
    return passes;
  }

  std::vector<Slice> slices_{3};
  std::vector<size_t> calls_;
  std::unique_ptr<Backend> backend_ = make_backend({.kind = "cpu", .threads = 1});
  RowBuffers buffers_{*backend_, {.buffers = 3, .most_rows = 4, .width = 1, .batch_rows = 12}};
  BatchEncoder encoder_{
      [this](std::span<const Slice* const> slices, Tensor rows) { return fill(slices, rows); }, buffers_};
};

TEST_F(BatchEncoderTest, ABatchIsOnePassAndEachSliceHasItsOwnRows) {
  const auto passes = encode(items());
  ASSERT_EQ(passes.size(), 1U);
  EXPECT_EQ(passes[0].count, 3U);
  EXPECT_EQ(passes[0].failure, "");
  for (size_t i = 0; i < 3; ++i) {
    const Tensor rows = passes[0].rows.at(i).rows;
    ASSERT_EQ(rows.rows(), static_cast<int64_t>(i) + 1);
    for (int64_t row = 0; row < rows.rows(); ++row)
      EXPECT_EQ(*rows.row<float>(row), static_cast<float>(i + 1));
  }
  EXPECT_EQ(buffers_.free(), 0U);
}

// Else rows of one slice after another would touch the memory of all buffers.
TEST_F(BatchEncoderTest, TheHostTakesTheBufferThatWasUsedLast) {
  const StagedRows kept = buffers_.take(1);
  const void* const used = buffers_.take(1).rows.raw();
  EXPECT_NE(used, kept.rows.raw());
  EXPECT_EQ(buffers_.take(1).rows.raw(), used);
}

TEST_F(BatchEncoderTest, ABadSliceFailsAloneAndItsBufferIsFree) {
  slices_[1].fingerprint = {kBad, kBad};
  const auto passes = encode(items());
  EXPECT_THAT(calls_, testing::ElementsAre(3, 1, 1, 1));
  ASSERT_EQ(passes.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(passes[i].first, i);
    EXPECT_EQ(passes[i].failure, i == 1 ? "this one cannot be encoded" : "");
    EXPECT_EQ(passes[i].rows.size(), i == 1 ? 0U : 1U);
  }
  EXPECT_EQ(buffers_.free(), 1U);
}

TEST_F(BatchEncoderTest, ASliceThatFailsAloneIsNotTriedAgain) {
  slices_[0].fingerprint = {kBad, kBad};
  const auto one = items();
  EXPECT_EQ(encode(std::span(one).first(1)).at(0).failure, "this one cannot be encoded");
  EXPECT_THAT(calls_, testing::ElementsAre(1));
}

}  // namespace
}  // namespace uhd
