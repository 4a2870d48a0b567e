#include "engine/slices/local_encoders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace uhd {
namespace {

constexpr TimePoint kEncodedAt{};

class LocalEncodersTest : public ::testing::Test {
 protected:
  LocalEncodersTest()
      : backend_(make_backend({.kind = "cpu", .threads = 1})),
        buffers_(*backend_, {.buffers = 5, .most_rows = 4, .width = 2, .batch_rows = 20}) {}

  static SliceJob job(uint64_t n, int width = 28) {
    auto slice = std::make_shared<Slice>();
    slice->width = width;
    slice->height = 14;
    slice->fingerprint = {n, n};
    return {slice, 2, width / 14};
  }
  // Rows hold the slice's number.
  Parts encode(std::span<const Slice* const> slices, Tensor rows) {
    batches_.push_back(slices.size());
    for (size_t i = 0; i < slices.size(); ++i) {
      const auto n = static_cast<float>(slices[i]->fingerprint.low);
      if (n == 13) throw Error("this one cannot be encoded");
      co_yield Parts::Pause{};
      for (int64_t row = 0; row < 2; ++row) {
        float* values = rows.row<float>(static_cast<int64_t>(i) * 2 + row);
        values[0] = values[1] = n == 7 ? std::nanf("") : n;
      }
    }
  }
  LocalEncoders make(int64_t batch_patches) {
    return {[this](std::span<const Slice* const> slices, Tensor rows) { return encode(slices, rows); },
            buffers_, batch_patches};
  }

  std::unique_ptr<Backend> backend_;
  RowBuffers buffers_;
  std::vector<size_t> batches_;
};

TEST_F(LocalEncodersTest, BatchesShapesWithinThePatches) {
  LocalEncoders encoders = make(5);
  encoders.add(job(1), kEncodedAt);
  encoders.add(job(2, 42), kEncodedAt);
  encoders.add(job(3), kEncodedAt);
  encoders.add(job(4), kEncodedAt);
  std::vector<float> order;
  while (encoders.next_poll(kEncodedAt)) {
    for (const EncodedSlice& slice : encoders.poll(kEncodedAt, {})) {
      ASSERT_TRUE(slice.ok);
      order.push_back(*slice.rows.rows.data<float>());
    }
  }
  EXPECT_THAT(batches_, ::testing::ElementsAre(2, 2));
  EXPECT_THAT(order, ::testing::ElementsAre(1, 2, 3, 4));
}

TEST_F(LocalEncodersTest, SlicesGoByPriorityAndSoDoThoseThatGoWithThem) {
  LocalEncoders encoders = make(4);
  const auto add = [&](uint64_t n, int priority, int width = 28) {
    SliceJob wanted = job(n, width);
    wanted.urgency = {priority, kEncodedAt};
    encoders.add(std::move(wanted), kEncodedAt);
  };
  add(1, 5);
  add(2, 5);
  add(3, 0, 42);
  add(4, 5);
  add(5, 0);
  add(6, 5);
  encoders.hasten({6, 6}, {1, kEncodedAt});
  std::vector<float> order;
  while (encoders.next_poll(kEncodedAt)) {
    for (const EncodedSlice& slice : encoders.poll(kEncodedAt, {})) {
      order.push_back(*slice.rows.rows.data<float>());
    }
  }
  EXPECT_THAT(order, ::testing::ElementsAre(3, 5, 6, 1, 2, 4));
  EXPECT_THAT(batches_, ::testing::ElementsAre(1, 2, 2, 1));
}

TEST_F(LocalEncodersTest, TakesOneSliceAtATimeWhileOthersDecode) {
  LocalEncoders encoders = make(100);
  encoders.add(job(1), kEncodedAt);
  encoders.add(job(2), kEncodedAt);
  EXPECT_EQ(encoders.poll(kEncodedAt, {.others_decode = true}).size(), 1u);
  EXPECT_EQ(encoders.queued(), 1);
}

// The fixture's pass pauses once for each slice.
TEST_F(LocalEncodersTest, StopsAPassWhereItsTurnEnds) {
  LocalEncoders encoders = make(100);
  encoders.add(job(1), kEncodedAt);
  const EncodingTurn short_turn{.seconds = 0};
  EXPECT_TRUE(encoders.poll(kEncodedAt, short_turn).empty());
  const auto ended = encoders.poll(kEncodedAt, short_turn);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_TRUE(ended[0].ok);
  EXPECT_EQ(*ended[0].rows.rows.data<float>(), 1.0f);
  EXPECT_GT(encoders.patch_seconds().value_or(0), 0);
  EXPECT_FALSE(encoders.next_poll(kEncodedAt));
}

TEST_F(LocalEncodersTest, APassHasPartsThatFitIntoATurn) {
  LocalEncoders encoders = make(100);
  const auto encode_two = [&](double turn) {
    batches_.clear();
    for (const uint64_t n : {1, 2}) encoders.add(job(n), kEncodedAt);
    while (encoders.next_poll(kEncodedAt)) encoders.poll(kEncodedAt, {.seconds = turn});
    return batches_;
  };
  EXPECT_THAT(encode_two(1000), ::testing::ElementsAre(1, 1)) << "nothing was measured yet";
  EXPECT_THAT(encode_two(1000), ::testing::ElementsAre(2));
  EXPECT_THAT(encode_two(1e-12), ::testing::ElementsAre(1, 1));
  EXPECT_THAT(encode_two(INFINITY), ::testing::ElementsAre(2));
}

TEST_F(LocalEncodersTest, APassUnderWayEndsWithItsEncoders) {
  LocalEncoders encoders = make(100);
  encoders.add(job(1), kEncodedAt);
  encoders.poll(kEncodedAt, {.seconds = 0});
}

TEST_F(LocalEncodersTest, RowsThatAreNotNumbersFailTheirOwnSliceOnly) {
  LocalEncoders encoders = make(100);
  encoders.add(job(6), kEncodedAt);
  encoders.add(job(7), kEncodedAt);
  const auto ended = encoders.poll(kEncodedAt, {});
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_TRUE(ended[0].ok);
  EXPECT_FALSE(ended[1].ok);
  EXPECT_NE(ended[1].reason, "");
}

TEST_F(LocalEncodersTest, ASliceThatCannotBeEncodedFailsAlone) {
  LocalEncoders encoders = make(100);
  for (const uint64_t n : {12, 13, 14}) encoders.add(job(n), kEncodedAt);
  const auto ended = encoders.poll(kEncodedAt, {});
  ASSERT_EQ(ended.size(), 3u);
  EXPECT_THAT(batches_, ::testing::ElementsAre(3, 1, 1, 1));
  EXPECT_FALSE(ended[1].ok);
  EXPECT_EQ(ended[1].reason, "the encoder failed");
  for (const size_t i : {0u, 2u}) {
    ASSERT_TRUE(ended[i].ok) << i;
    EXPECT_EQ(*ended[i].rows.rows.data<float>(), 12.0f + static_cast<float>(i));
  }
}

TEST_F(LocalEncodersTest, GoesOnAfterASliceThatCannotBeEncoded) {
  LocalEncoders encoders = make(1);
  encoders.add(job(13), kEncodedAt);
  encoders.add(job(14), kEncodedAt);
  EXPECT_FALSE(encoders.poll(kEncodedAt, {}).at(0).ok);
  EXPECT_TRUE(encoders.poll(kEncodedAt, {}).at(0).ok);
}

// Rows that nobody has placed yet hold up further passes, not memory.
TEST_F(LocalEncodersTest, EncodesNoMoreThanThereIsMemoryFor) {
  LocalEncoders encoders = make(100);
  for (uint64_t n = 20; n < 28; ++n) encoders.add(job(n), kEncodedAt);
  auto first = encoders.poll(kEncodedAt, {});
  EXPECT_EQ(first.size(), 5u);
  EXPECT_TRUE(encoders.poll(kEncodedAt, {}).empty());
  EXPECT_GT(encoders.next_poll(kEncodedAt), kEncodedAt);
  first.resize(2);  // the others' rows were placed
  EXPECT_EQ(encoders.next_poll(kEncodedAt), kEncodedAt);
  EXPECT_EQ(encoders.poll(kEncodedAt, {}).size(), 3u);
  EXPECT_EQ(encoders.queued(), 0);
  EXPECT_THAT(batches_, ::testing::ElementsAre(5, 3));
}

TEST_F(LocalEncodersTest, CancelsWhatHasNotStarted) {
  LocalEncoders encoders = make(1);
  encoders.add(job(1), kEncodedAt);
  EXPECT_TRUE(encoders.cancel({1, 1}));
  EXPECT_FALSE(encoders.cancel({1, 1}));
  EXPECT_TRUE(encoders.poll(kEncodedAt, {}).empty());
}

TEST_F(LocalEncodersTest, CancelsAPassUnderWayIfItIsOfThatSliceAlone) {
  LocalEncoders encoders = make(1);
  const EncodingTurn one_part{.others_decode = true, .seconds = 0};
  encoders.add(job(1), kEncodedAt);
  EXPECT_TRUE(encoders.poll(kEncodedAt, one_part).empty());
  EXPECT_LT(buffers_.free(), 5u);
  EXPECT_FALSE(encoders.cancel({2, 2}));
  EXPECT_TRUE(encoders.cancel({1, 1}));
  EXPECT_EQ(buffers_.free(), 5u);
  EXPECT_FALSE(encoders.next_poll(kEncodedAt));
  encoders.add(job(2), kEncodedAt);
  const auto ended = encoders.poll(kEncodedAt, {});
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].fingerprint, (Fingerprint{2, 2}));
}

}  // namespace
}  // namespace uhd
