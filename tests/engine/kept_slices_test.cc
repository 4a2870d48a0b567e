#include "engine/slices/kept_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoders.h"

namespace uhd {
namespace {

constexpr TimePoint kNow{};
constexpr int kSliceRows = 2, kRowWidth = 3;
constexpr int64_t kSliceBytes = kSliceRows * kRowWidth * 4;  // of one slice, in f32

class KeptSlicesTest : public testing::Test {
 protected:
  static SliceJob job(uint64_t n) {
    auto slice = std::make_shared<Slice>();
    slice->fingerprint = {n, n};
    return {slice, kSliceRows, 100};
  }
  void make(int64_t most_bytes) {
    auto fake = std::make_unique<FakeEncoders>();
    fake_ = fake.get();
    kept_ = std::make_unique<KeptSlices>(std::move(fake), buffers_, most_bytes, metrics_);
  }
  // Encodes what was added: rows of the slice's number. Returns what ended, as numbers.
  std::vector<float> encode() {
    for (const SliceJob& job : std::exchange(fake_->jobs, {})) {
      EncodedSlice& slice = fake_->ended.emplace_back();
      slice.fingerprint = job.slice->fingerprint;
      slice.ok = true;
      slice.rows = buffers_.take(kSliceRows);
      std::fill_n(slice.rows.rows.data<float>(), kSliceRows * kRowWidth,
                  static_cast<float>(job.slice->fingerprint.low));
      ++encoded_;
    }
    return poll();
  }
  std::vector<float> poll() {
    std::vector<float> values;
    for (const EncodedSlice& slice : kept_->poll(kNow, {})) {
      EXPECT_TRUE(slice.ok);
      EXPECT_EQ(slice.rows.rows.rows(), kSliceRows);
      values.push_back(slice.rows.rows.row<float>(kSliceRows - 1)[kRowWidth - 1]);
      EXPECT_EQ(values.back(), static_cast<float>(slice.fingerprint.low));
    }
    return values;
  }
  std::vector<float> ask(uint64_t n) {
    kept_->add(job(n), kNow);
    return encode();
  }

  std::unique_ptr<Backend> backend_ = make_backend({.kind = "cpu", .threads = 1});
  RowBuffers buffers_{*backend_, {.buffers = 2, .most_rows = 4, .width = kRowWidth}};
  FakeEncoders* fake_ = nullptr;
  Metrics metrics_{"test"};
  std::unique_ptr<KeptSlices> kept_;
  int encoded_ = 0;
};

TEST_F(KeptSlicesTest, ASliceIsEncodedOnce) {
  make(10 * kSliceBytes);
  EXPECT_THAT(ask(5), testing::ElementsAre(5));
  EXPECT_THAT(ask(6), testing::ElementsAre(6));
  EXPECT_THAT(ask(5), testing::ElementsAre(5));
  EXPECT_EQ(encoded_, 2);
  EXPECT_FALSE(kept_->next_poll(kNow));
}

TEST_F(KeptSlicesTest, SaysWhatItKept) {
  make(10 * kSliceBytes);
  EXPECT_FALSE(kept_->keeps({5, 5}));
  ask(5);
  EXPECT_TRUE(kept_->keeps({5, 5}));
  kept_->add(job(5), kNow);
  EXPECT_EQ(kept_->queued(), 1);
  EXPECT_EQ(kept_->next_poll(kNow), kNow);
  const auto ended = kept_->poll(kNow, {});
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_TRUE(ended[0].kept);
}

TEST_F(KeptSlicesTest, TheLeastRecentlyUsedGoes) {
  make(2 * kSliceBytes);
  for (const uint64_t n : {1, 2, 1}) ask(n);
  EXPECT_TRUE(kept_->keeps({2, 2})) << "to be asked for is no use";
  ask(3);
  EXPECT_EQ(encoded_, 3);
  ask(1);
  EXPECT_EQ(encoded_, 3) << "it was used later than 2";
  ask(2);
  EXPECT_EQ(encoded_, 4);
}

TEST_F(KeptSlicesTest, KeepsNothingThatIsLargerThanItsMemory) {
  make(kSliceBytes - 1);
  ask(1);
  ask(1);
  EXPECT_EQ(encoded_, 2);
}

// A wanted slice waits for memory on the device, and is kept meanwhile.
TEST_F(KeptSlicesTest, WaitsForBuffersAndCanBeCancelled) {
  make(kSliceBytes);
  ask(1);
  std::vector<StagedRows> taken;
  while (buffers_.free() > 0) taken.push_back(buffers_.take(1));
  kept_->add(job(1), kNow);
  EXPECT_TRUE(poll().empty());
  EXPECT_GT(kept_->next_poll(kNow), kNow);
  taken.pop_back();
  kept_->add(job(2), kNow);
  {
    // Encoded while 1 is wanted: there is no room to keep it.
    for (const SliceJob& job : std::exchange(fake_->jobs, {})) {
      fake_->ended.push_back({job.slice->fingerprint, true, false, "", buffers_.take(kSliceRows)});
    }
    EXPECT_EQ(kept_->poll(kNow, {}).size(), 1u);
  }
  EXPECT_THAT(poll(), testing::ElementsAre(1));
  kept_->add(job(1), kNow);
  EXPECT_TRUE(kept_->cancel({1, 1}));
  EXPECT_FALSE(kept_->cancel({1, 1}));
  EXPECT_TRUE(poll().empty());
}

}  // namespace
}  // namespace uhd
