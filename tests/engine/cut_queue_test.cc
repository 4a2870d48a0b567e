#include "engine/leader/cut_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TimePoint kCutAt{};
constexpr int64_t kBytes = 12;  // of the one slice of an image of 2x2

class CutQueueTest : public testing::Test {
 protected:
  std::shared_ptr<std::atomic<bool>> add(RequestId id, const std::string& client, int images = 1,
                                         int priority = 0) {
    auto abandoned = std::make_shared<std::atomic<bool>>(false);
    CutRequest request{.request = id,
                       .client = client,
                       .urgency = {priority, kCutAt},
                       .salt = client,
                       .abandoned = abandoned};
    for (int i = 0; i < images; ++i) {
      SlicePlan plan;
      plan.overview = {2, 2};
      request.images.push_back({std::make_shared<const std::string>("x"), plan});
    }
    queue_.add(std::move(request));
    return abandoned;
  }
  // Begins and finishes up to `images` images: whose they are.
  std::vector<RequestId> cut(int images = 100) {
    std::vector<RequestId> ids;
    while (images-- > 0) {
      const auto work = queue_.next(kCutAt);
      if (!work) break;
      queue_.finish(*work);
      ids.push_back(work->request->request);
    }
    return ids;
  }

  CutQueue queue_{3 * kBytes};
};

TEST_F(CutQueueTest, ClientsTakeTurns) {
  for (RequestId id = 1; id <= 4; ++id) add(id, "many");
  add(5, "one");
  EXPECT_THAT(cut(), ElementsAre(1, 5, 2));
}

TEST_F(CutQueueTest, TheMostUrgentIsCutFirstAndBeforeTheOtherImagesOfWhatHasBegun) {
  add(1, "a", 2, 5);
  add(2, "b", 1, 5);
  EXPECT_THAT(cut(1), ElementsAre(1));
  add(3, "a", 1, 0);
  EXPECT_THAT(cut(1), ElementsAre(3));
  add(4, "a", 1, -5);
  EXPECT_THAT(cut(), ElementsAre(1)) << "the memory of its images is reserved, and there is no more";
  queue_.returned(kBytes);
  EXPECT_THAT(cut(), ElementsAre(4));
  queue_.returned(kBytes);
  EXPECT_THAT(cut(), ElementsAre(2));
}

TEST_F(CutQueueTest, CutsNoMoreThanItsMemoryHolds) {
  for (RequestId id = 1; id <= 4; ++id) add(id, "a");
  EXPECT_THAT(cut(), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue_.in_use(), 3 * kBytes);
  EXPECT_THAT(cut(), IsEmpty());
  queue_.returned(kBytes);
  EXPECT_THAT(cut(), ElementsAre(4));
}

TEST_F(CutQueueTest, ARequestIsNotPassedWhenItsImagesDoNotFit) {
  add(1, "a", 2);
  add(2, "a", 2);
  add(3, "a", 1);
  EXPECT_THAT(cut(), ElementsAre(1, 1)) << "the third would fit, but comes after the second";
  queue_.returned(2 * kBytes);
  EXPECT_THAT(cut(), ElementsAre(2, 2, 3));
}

TEST_F(CutQueueTest, OneThatNeedsMoreThanAllGoesAlone) {
  add(1, "a", 5);
  add(2, "a", 1);
  EXPECT_THAT(cut(), ElementsAre(1, 1, 1, 1, 1));
  queue_.returned(5 * kBytes);
  EXPECT_EQ(queue_.in_use(), 0);
  EXPECT_THAT(cut(), ElementsAre(2));
}

TEST_F(CutQueueTest, LetsTheBytesOfAnImageGoWithItsCut) {
  add(1, "a", 2);
  const auto first = queue_.next(kCutAt), second = queue_.next(kCutAt);
  queue_.finish(*first);
  EXPECT_EQ(first->task().bytes, nullptr);
  EXPECT_NE(second->task().bytes, nullptr);
  queue_.fail(*second);
  EXPECT_EQ(second->task().bytes, nullptr);
}

TEST_F(CutQueueTest, AnImageThatFailsGivesItsMemoryAndThatOfTheRestBack) {
  add(1, "a", 3);
  EXPECT_THAT(cut(1), ElementsAre(1));
  const auto bad = queue_.next(kCutAt);
  queue_.fail(*bad);
  EXPECT_FALSE(queue_.next(kCutAt)) << "the third is not begun";
  EXPECT_EQ(queue_.in_use(), kBytes) << "of the first alone";
}

TEST_F(CutQueueTest, AbandonedRequestsAreForgottenBegunOrNot) {
  const auto first = add(1, "a", 2);
  const auto second = add(2, "a", 2);
  add(3, "a", 1);
  EXPECT_THAT(cut(1), ElementsAre(1)) << "one of its two images";
  *first = *second = true;
  EXPECT_THAT(cut(), ElementsAre(3));
  EXPECT_EQ(queue_.in_use(), 2 * kBytes);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(CutQueueTest, AnAbandonedCutUnderWayKeepsItsOwnMemory) {
  const auto first = add(1, "a", 3);
  const auto under_way = queue_.next(kCutAt);
  *first = true;
  EXPECT_FALSE(queue_.next(kCutAt));
  EXPECT_EQ(queue_.in_use(), kBytes);
  queue_.finish(*under_way);
  queue_.returned(kBytes);
  EXPECT_EQ(queue_.in_use(), 0);
}

}  // namespace
}  // namespace uhd
