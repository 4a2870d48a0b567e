#include "engine/slices/visual_flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoders.h"

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TimePoint kNow{};
constexpr int kWidth = 2;

class VisualFlowTest : public ::testing::Test {
 protected:
  VisualFlowTest()
      : backend_(make_backend({.kind = "cpu", .threads = 1})),
        buffers_(*backend_, {.buffers = 16, .most_rows = 8, .width = kWidth}),
        metrics_("test"),
        flow_(12, encoders_, metrics_) {}

  static SliceJob slice(uint64_t n, int rows = 4) {
    auto s = std::make_shared<Slice>();
    s->fingerprint = {n, n};
    return {s, rows, 10};
  }
  void finish(uint64_t n, int rows = 4) {
    encoders_.ended.push_back({{n, n}, true, false, "", buffers_.take(rows), kNow});
  }
  void fail(uint64_t n) { encoders_.ended.push_back({{n, n}, false, false, "broken", {}, kNow}); }
  static std::vector<std::pair<RequestId, int>> ready(const VisualFlow::Progress& progress) {
    std::vector<std::pair<RequestId, int>> list;
    for (const auto& r : progress.ready) list.emplace_back(r.request, r.span);
    return list;
  }

  std::unique_ptr<Backend> backend_;
  RowBuffers buffers_;
  Metrics metrics_;
  FakeEncoders encoders_;
  VisualFlow flow_;
};

TEST_F(VisualFlowTest, EncodesEqualSlicesOfTwoRequestsOnce) {
  flow_.want(1, {slice(5), slice(6)}, kNow);
  flow_.want(2, {slice(6)}, kNow);
  EXPECT_EQ(encoders_.jobs.size(), 2u);
  finish(6);
  const auto progress = flow_.poll(kNow, false);
  EXPECT_THAT(ready(progress), ElementsAre(std::pair<RequestId, int>(1, 1), std::pair<RequestId, int>(2, 0)));
  EXPECT_FALSE(progress.ready[0].cached);
  EXPECT_TRUE(progress.ready[1].cached);
  std::vector<Placement> placements;
  EXPECT_EQ(flow_.take_placements(placements).size(), 1u);
  EXPECT_THAT(placements[0].rows, ::testing::ElementsAreArray(flow_.rows_of(2, 0)));
  flow_.placed();
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, AnswersFromTheStoreAfterTheFirstRequestEnded) {
  flow_.want(1, {slice(5)}, kNow);
  finish(5);
  flow_.poll(kNow, false);
  flow_.drop(1);
  flow_.want(2, {slice(5)}, kNow);
  EXPECT_EQ(encoders_.jobs.size(), 1u) << "not encoded again";
  EXPECT_THAT(ready(flow_.poll(kNow, false)), ElementsAre(std::pair<RequestId, int>(2, 0)));
}

TEST_F(VisualFlowTest, DropsSlicesThatNobodyWantsAndThatHaveNotStarted) {
  flow_.want(1, {slice(5), slice(6)}, kNow);
  flow_.want(2, {slice(6)}, kNow);
  flow_.drop(1);
  ASSERT_EQ(encoders_.jobs.size(), 1u);
  EXPECT_EQ(encoders_.jobs[0].slice->fingerprint.high, 6u);
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, KeepsAStartedSliceOfACancelledRequestForTheNext) {
  flow_.want(1, {slice(5)}, kNow);
  encoders_.started.insert({5, 5});
  flow_.drop(1);
  flow_.want(2, {slice(5)}, kNow);
  finish(5);
  EXPECT_THAT(ready(flow_.poll(kNow, false)), ElementsAre(std::pair<RequestId, int>(2, 0)));
  EXPECT_EQ(encoders_.jobs.size(), 1u);
}

TEST_F(VisualFlowTest, RequestsWithoutRoomWaitInOrder) {
  flow_.want(1, {slice(1), slice(2)}, kNow);
  flow_.want(2, {slice(3), slice(4)}, kNow);
  flow_.want(3, {slice(5)}, kNow);
  EXPECT_EQ(encoders_.jobs.size(), 2u) << "the third would fit, but comes after the second";
  flow_.drop(1);
  flow_.poll(kNow, false);
  EXPECT_EQ(encoders_.jobs.size(), 3u) << "both fit now: slices 3, 4 and 5";
}

TEST_F(VisualFlowTest, FailsEveryRequestThatWaitsForABrokenSliceAndNoOther) {
  flow_.want(1, {slice(5), slice(5)}, kNow);
  flow_.want(2, {slice(6)}, kNow);
  fail(5);
  const auto progress = flow_.poll(kNow, false);
  ASSERT_EQ(progress.failed.size(), 2u);
  EXPECT_EQ(progress.failed[0].request, 1u);
  EXPECT_EQ(progress.failed[0].failure.status, 500);
  EXPECT_THAT(progress.ready, IsEmpty());
  // Another request asks for the slice again before the first is dropped: it must not lose its hold.
  flow_.want(3, {slice(5)}, kNow);
  flow_.drop(1);
  finish(5);
  EXPECT_THAT(ready(flow_.poll(kNow, false)), ElementsAre(std::pair<RequestId, int>(3, 0)));
  flow_.check_integrity();
}

}  // namespace
}  // namespace uhd
