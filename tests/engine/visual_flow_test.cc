#include "engine/slices/visual_flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/engine/fake_encoders.h"

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TimePoint kNow{};
constexpr int kWidth = 2;
constexpr int kRows = 4;  // of a slice

class VisualFlowTest : public ::testing::Test {
 protected:
  VisualFlowTest()
      : backend_(make_backend({.kind = "cpu", .threads = 1})),
        buffers_(*backend_, {.buffers = 16, .most_rows = 8, .width = kWidth}),
        metrics_("test"),
        flow_(3 * kRows, encoders_, metrics_) {}

  // A request that sees as many images as are listed, each of so many pieces.
  std::shared_ptr<VisualSpans> add(RequestId id, const std::vector<int>& images,
                                   const std::string& client = "", int priority = 0) {
    auto spans = std::make_shared<VisualSpans>();
    int position = 0;
    for (size_t image = 0; image < images.size(); ++image) {
      for (int piece = 0; piece < images[image]; ++piece, position += kRows) {
        spans->push_back({static_cast<int>(image), piece, position, kRows});
      }
    }
    flow_.add(id, client, {priority, kNow}, spans);
    return spans;
  }
  static std::vector<SliceJob> slices(const std::vector<uint64_t>& names) {
    std::vector<SliceJob> jobs;
    for (uint64_t n : names) {
      auto s = std::make_shared<Slice>();
      s->fingerprint = {n, n};
      jobs.push_back({s, kRows, 10});
    }
    return jobs;
  }
  VisualFlow::Progress poll() { return flow_.poll(kNow, {}); }
  // A request of one image, which gets room and is cut into these slices.
  std::shared_ptr<VisualSpans> want(RequestId id, const std::vector<uint64_t>& names) {
    auto spans = add(id, {static_cast<int>(names.size())});
    EXPECT_THAT(poll().room, ElementsAre(id));
    flow_.want(id, 0, slices(names), kNow);
    return spans;
  }
  void finish(uint64_t n, int rows = kRows) {
    encoders_.ended.push_back({{n, n}, true, false, "", buffers_.take(rows), kNow});
  }
  void fail(uint64_t n) { encoders_.ended.push_back({{n, n}, false, false, "broken", {}, kNow}); }
  static std::vector<RequestId> ready(const VisualFlow::Progress& progress) {
    std::vector<RequestId> list;
    for (const auto& r : progress.ready) list.push_back(r.request);
    return list;
  }

  std::unique_ptr<Backend> backend_;
  RowBuffers buffers_;
  Metrics metrics_;
  FakeEncoders encoders_;
  VisualFlow flow_;
};

TEST_F(VisualFlowTest, EncodesEqualSlicesOfTwoRequestsOnce) {
  const auto first = want(1, {5, 6});
  const auto second = want(2, {6});
  EXPECT_EQ(encoders_.jobs.size(), 2u);
  finish(6);
  const auto progress = poll();
  EXPECT_THAT(ready(progress), ElementsAre(1, 2));
  EXPECT_FALSE(progress.ready[0].cached);
  EXPECT_TRUE(progress.ready[1].cached);
  EXPECT_FALSE(first->at(0).ready);
  EXPECT_TRUE(first->at(1).ready && second->at(0).ready);
  std::vector<Placement> placements;
  EXPECT_EQ(flow_.take_placements(placements).size(), 1u);
  EXPECT_THAT(placements[0].rows, ::testing::ElementsAreArray(flow_.rows_of(second->at(0))));
  flow_.placed();
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, AnswersFromTheStoreAfterTheFirstRequestEnded) {
  want(1, {5});
  finish(5);
  poll();
  flow_.drop(1);
  want(2, {5});
  EXPECT_EQ(encoders_.jobs.size(), 1u) << "not encoded again";
  EXPECT_THAT(ready(poll()), ElementsAre(2));
}

TEST_F(VisualFlowTest, WantsTheSlicesOfAnImageBeforeTheNextIsCut) {
  const auto spans = add(1, {1, 2});
  poll();
  flow_.want(1, 1, slices({7, 8}), kNow);
  EXPECT_EQ(encoders_.jobs.size(), 2u) << "the second image was cut first";
  finish(8);
  EXPECT_EQ(poll().ready.at(0).image, 1);
  EXPECT_TRUE(spans->at(2).ready);
  EXPECT_FALSE(spans->at(0).slice.has_value());
  flow_.want(1, 0, slices({9}), kNow);
  EXPECT_EQ(encoders_.jobs.size(), 3u);
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, LeavesOutWhatIsCoveredAndWouldHaveToBeEncoded) {
  const auto held = want(1, {5});
  finish(5);
  poll();
  const auto spans = add(2, {2});
  poll();
  const auto jobs = slices({5, 6});
  EXPECT_EQ(flow_.want(2, 0, jobs, kNow, 2 * kRows - 1), 0) << "the second slice is covered in part";
  flow_.drop(2);
  encoders_.jobs.clear();
  const auto again = add(3, {3});
  flow_.drop(1);
  poll();
  EXPECT_EQ(flow_.want(3, 0, slices({5, 7, 8}), kNow, 2 * kRows), 1) << "the store holds the first";
  EXPECT_TRUE(again->at(0).ready);
  EXPECT_FALSE(again->at(1).held || again->at(1).ready);
  EXPECT_TRUE(again->at(1).slice.has_value()) << "its pages have a name";
  ASSERT_EQ(encoders_.jobs.size(), 1u);
  EXPECT_EQ(encoders_.jobs[0].slice->fingerprint.high, 8u);
  const auto progress = poll();
  EXPECT_THAT(ready(progress), ElementsAre(3, 3));
  EXPECT_TRUE(progress.ready[1].cached);
  // Its keys and values are lost: it is wanted again, and its rows were promised all the time.
  EXPECT_EQ(flow_.want(3, 0, slices({5, 7, 8}), kNow, 0), 0);
  ASSERT_EQ(encoders_.jobs.size(), 2u);
  EXPECT_EQ(encoders_.jobs[1].slice->fingerprint.high, 7u);
  finish(7);
  EXPECT_THAT(ready(poll()), IsEmpty()) << "it was told before";
  EXPECT_TRUE(again->at(1).ready);
  flow_.check_integrity();
  flow_.drop(3);
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, SaysWhatWouldNotBeEncodedAndTouchesNothing) {
  want(1, {5, 6});
  finish(5);
  poll();
  encoders_.kept.insert({8, 8});
  VisualSpans spans(6);
  for (size_t i = 0; i < spans.size(); ++i) {
    spans[i].position = static_cast<int>(i) * kRows;
    spans[i].length = kRows;
  }
  const auto cached = [&](std::vector<uint64_t> names, int covered) {
    for (size_t i = 0; i < spans.size(); ++i) {
      spans[i].slice.reset();
      if (i < names.size()) spans[i].slice = Fingerprint{names[i], names[i]};
    }
    return flow_.cached(spans, covered);
  };
  EXPECT_EQ(cached({}, 100), 0) << "slices that are not known";
  EXPECT_EQ(cached({5, 6, 7, 8}, 0), 3) << "held, on its way, kept elsewhere";
  EXPECT_EQ(cached({7, 7, 5, 7}, 0), 3) << "of equal ones one is encoded";
  EXPECT_EQ(cached({7, 7, 5, 9}, kRows), 2) << "the first is left out, so that the second is encoded";
  EXPECT_EQ(cached({7, 7, 5, 9}, 2 * kRows - 1), 2);
  EXPECT_EQ(cached({7, 9, 5, 9}, 4 * kRows), 4);
  flow_.drop(1);
  want(2, {7, 8, 9});
  EXPECT_EQ(cached({5, 6}, 0), 0) << "nobody held them";
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, DropsSlicesThatNobodyWantsAndThatHaveNotStarted) {
  want(1, {5, 6});
  want(2, {6});
  flow_.drop(1);
  ASSERT_EQ(encoders_.jobs.size(), 1u);
  EXPECT_EQ(encoders_.jobs[0].slice->fingerprint.high, 6u);
  flow_.check_integrity();
}

TEST_F(VisualFlowTest, KeepsAStartedSliceOfACancelledRequestForTheNext) {
  want(1, {5});
  encoders_.started.insert({5, 5});
  flow_.drop(1);
  want(2, {5});
  finish(5);
  EXPECT_THAT(ready(poll()), ElementsAre(2));
  EXPECT_EQ(encoders_.jobs.size(), 1u);
}

TEST_F(VisualFlowTest, RequestsWithoutRoomWaitInOrder) {
  add(1, {2});
  add(2, {2});
  add(3, {1});
  EXPECT_THAT(poll().room, ElementsAre(1)) << "the third would fit, but comes after the second";
  flow_.drop(1);
  EXPECT_THAT(poll().room, ElementsAre(2, 3));
}

TEST_F(VisualFlowTest, ClientsTakeTurnsForRoom) {
  for (RequestId id = 1; id <= 3; ++id) add(id, {2}, "many");
  add(4, {2}, "one");
  EXPECT_THAT(poll().room, ElementsAre(1));
  flow_.drop(1);
  EXPECT_THAT(poll().room, ElementsAre(4));
  flow_.drop(4);
  flow_.drop(2);
  EXPECT_THAT(poll().room, ElementsAre(3));
}

TEST_F(VisualFlowTest, RoomGoesByPriority) {
  add(1, {3});
  poll();
  add(2, {2}, "", 4);
  add(3, {2}, "", 4);
  add(4, {1}, "", -4);
  add(5, {2}, "");
  flow_.drop(1);
  EXPECT_THAT(poll().room, ElementsAre(4, 5));
  flow_.drop(5);
  EXPECT_THAT(poll().room, ElementsAre(2));
}

TEST_F(VisualFlowTest, ASliceIsAsUrgentAsTheMostUrgentOfThoseWhoWantIt) {
  add(1, {1}, "", 4);
  add(2, {1}, "", -4);
  EXPECT_THAT(poll().room, ElementsAre(2, 1));
  flow_.want(1, 0, slices({5}), kNow);
  ASSERT_EQ(encoders_.jobs.size(), 1u);
  EXPECT_EQ(encoders_.jobs[0].urgency.priority, 4);
  flow_.want(2, 0, slices({5}), kNow);
  ASSERT_EQ(encoders_.jobs.size(), 1u);
  EXPECT_EQ(encoders_.jobs[0].urgency.priority, -4);
}

TEST_F(VisualFlowTest, ARequestThatEndsBeforeItsImagesAreCutGivesItsRoomBack) {
  add(1, {1, 2});
  poll();
  flow_.want(1, 0, slices({5}), kNow);
  flow_.drop(1);
  flow_.check_integrity();
  add(2, {3});
  EXPECT_THAT(poll().room, ElementsAre(2));
}

TEST_F(VisualFlowTest, RefusesSlicesOfARequestWithoutRoom) {
  add(1, {1});
  EXPECT_THROW(flow_.want(1, 0, slices({5}), kNow), Error);
}

TEST_F(VisualFlowTest, FailsEveryRequestThatWaitsForABrokenSliceAndNoOther) {
  const auto spans = want(1, {5, 5});
  want(2, {6});
  fail(5);
  const auto progress = poll();
  ASSERT_EQ(progress.failed.size(), 2u);
  EXPECT_EQ(progress.failed[0].request, 1u);
  EXPECT_EQ(progress.failed[0].failure.kind, FailureKind::internal);
  EXPECT_THAT(progress.ready, IsEmpty());
  EXPECT_FALSE(spans->at(0).slice.has_value()) << "its hold is void";
  // Another request asks for the slice again before the first is dropped: it must not lose its hold.
  want(3, {5});
  flow_.drop(1);
  finish(5);
  EXPECT_THAT(ready(poll()), ElementsAre(3));
  flow_.check_integrity();
}

}  // namespace
}  // namespace uhd
