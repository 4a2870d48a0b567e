#include "engine/leader/cut_queue.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

constexpr int64_t kBytes = 12;  // of the one slice of an image of 2x2

class CutQueueTest : public testing::Test {
 protected:
  std::shared_ptr<std::atomic<bool>> add(RequestId id, const std::string& client, int images = 1,
                                         std::shared_ptr<const std::string> bytes = nullptr) {
    auto abandoned = std::make_shared<std::atomic<bool>>(false);
    CutRequest request{.request = id, .client = client, .salt = client, .abandoned = abandoned};
    for (int i = 0; i < images; ++i) {
      SlicePlan plan;
      plan.overview = {2, 2};
      request.images.push_back({bytes != nullptr ? bytes : std::make_shared<const std::string>("x"), plan});
    }
    queue_.add(std::move(request));
    return abandoned;
  }
  std::vector<SharedSlice> slices() {
    return {{new Slice{2, 2, std::vector<uint8_t>(kBytes), {}}, [this](const Slice* gone) {
               queue_.returned(kBytes);
               delete gone;
             }}};
  }
  // The requests that end with the next image.
  std::vector<RequestId> cut() {
    const auto work = queue_.next();
    if (!work) return {};
    for (CutImages& cut : queue_.finish(*work, slices())) done_.push_back(std::move(cut));
    std::vector<RequestId> ids;
    for (size_t i = told_; i < done_.size(); ++i) ids.push_back(done_[i].request);
    told_ = done_.size();
    return ids;
  }

  CutQueue queue_{3 * kBytes};
  std::vector<CutImages> done_;
  size_t told_ = 0;
};

using Ids = std::vector<RequestId>;

TEST_F(CutQueueTest, ClientsTakeTurns) {
  for (RequestId id = 1; id <= 4; ++id) add(id, "many");
  add(5, "one");
  EXPECT_EQ(cut(), Ids{1});
  done_.clear(), told_ = 0;
  EXPECT_EQ(cut(), Ids{5});
  EXPECT_EQ(cut(), Ids{2});
}

TEST_F(CutQueueTest, CutsNoMoreThanItsMemoryHolds) {
  for (RequestId id = 1; id <= 4; ++id) add(id, "a");
  for (RequestId id = 1; id <= 3; ++id) EXPECT_EQ(cut(), Ids{id});
  EXPECT_EQ(queue_.in_use(), 3 * kBytes);
  EXPECT_EQ(cut(), Ids{});
  done_.erase(done_.begin()), --told_;
  EXPECT_EQ(cut(), Ids{4});
}

TEST_F(CutQueueTest, ARequestIsNotPassedWhenItsImagesDoNotFit) {
  add(1, "a", 2);
  add(2, "a", 2);
  add(3, "a", 1);
  EXPECT_EQ(cut(), Ids{});
  EXPECT_EQ(cut(), Ids{1});
  EXPECT_EQ(cut(), Ids{}) << "the third would fit, but comes after the second";
  done_.clear(), told_ = 0;
  cut();
  EXPECT_EQ(cut(), Ids{2});
}

TEST_F(CutQueueTest, OneThatNeedsMoreThanAllGoesAlone) {
  add(1, "a", 5);
  add(2, "a", 1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(cut(), Ids{});
  EXPECT_EQ(cut(), Ids{1});
  EXPECT_EQ(cut(), Ids{});
  done_.clear(), told_ = 0;
  EXPECT_EQ(queue_.in_use(), 0);
  EXPECT_EQ(cut(), Ids{2});
}

TEST_F(CutQueueTest, ChoicesOfACallShareOneCut) {
  const auto bytes = std::make_shared<const std::string>("picture");
  for (RequestId id = 1; id <= 3; ++id) add(id, "a", 1, bytes);
  add(4, "b", 1, bytes);
  EXPECT_EQ(queue_.waiting(), 2u) << "another client's cache is salted otherwise";
  EXPECT_EQ(cut(), (Ids{1, 2, 3}));
  EXPECT_EQ(queue_.in_use(), kBytes);
  EXPECT_EQ(std::get<CutSlices>(done_[0].result)[0][0], std::get<CutSlices>(done_[2].result)[0][0]);
}

TEST_F(CutQueueTest, AFailedImageEndsItsRequestAndGivesAllBack) {
  add(1, "a", 3);
  cut();
  const auto bad = queue_.next();
  const auto ended = queue_.finish(*bad, Failure{400, "bad_image", "", 0});
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(std::get<Failure>(ended[0].result).code, "bad_image");
  EXPECT_FALSE(queue_.next()) << "the third is not begun";
}

TEST_F(CutQueueTest, AbandonedRequestsAreForgottenBegunOrNot) {
  const auto first = add(1, "a", 2);
  const auto second = add(2, "a", 2);
  add(3, "a", 1);
  EXPECT_EQ(cut(), Ids{}) << "one of its two images";
  *first = *second = true;
  EXPECT_EQ(cut(), Ids{3});
  EXPECT_EQ(queue_.take_dropped().size(), 1u);
  EXPECT_EQ(queue_.in_use(), kBytes);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(CutQueueTest, AnAbandonedCutUnderWayIsNotJoined) {
  const auto bytes = std::make_shared<const std::string>("picture");
  const auto first = add(1, "a", 2, bytes);
  const auto under_way = queue_.next();
  *first = true;
  EXPECT_FALSE(queue_.next());
  add(2, "a", 2, bytes);
  EXPECT_EQ(queue_.finish(*under_way, slices()).size(), 1u);
  EXPECT_EQ(cut(), Ids{});
  EXPECT_EQ(cut(), Ids{2});
}

}  // namespace
}  // namespace uhd
