#include "engine/leader/image_workers.h"

#include <gtest/gtest.h>

#include "engine/launch/model_files.h"
#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

// Holds the results of the image threads, and a way to wait for them.
struct Cuts {
  void take(CutImage cut) {
    const std::lock_guard lock(mutex);
    all.push_back(std::move(cut));
    changed.notify_all();
  }
  bool wait_for(size_t n) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::minutes(2), [&] { return all.size() >= n; });
  }
  std::vector<CutImage> take_all() {
    const std::lock_guard lock(mutex);
    return std::exchange(all, {});
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<CutImage> all;
};

class ImageWorkersTest : public testing::Test {
 protected:
  ImageWorkersTest() {
    const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
    bytes_ = c.request.messages[0].parts[0].image;
    slicing_ = open_model(tiny_options(c.model)).config.slicing;
    const ImageHeader header = read_image_header(*bytes_, options_.limits, false);
    plan_ = plan_image(header.oriented, slicing_, options_.limits);
  }
  CutRequest request(RequestId id, std::shared_ptr<const std::atomic<bool>> abandoned = nullptr) {
    CutRequest request{.request = id};
    request.images.push_back({std::make_shared<const std::string>(*bytes_), plan_});
    request.abandoned =
        abandoned != nullptr ? std::move(abandoned) : std::make_shared<const std::atomic<bool>>(false);
    return request;
  }

  ImageOptions options_;
  SlicingConfig slicing_;
  std::shared_ptr<const std::string> bytes_;
  SlicePlan plan_;
  Cuts cuts_;
};

TEST_F(ImageWorkersTest, ThePlanTellsTheBytesOfTheSlices) {
  ImageWorkers workers(1, options_, "auto", slicing_, 1, [&](CutImage cut) { cuts_.take(std::move(cut)); });
  workers.add(request(1));
  ASSERT_TRUE(cuts_.wait_for(1));
  int64_t bytes = 0;
  const CutImage cut = cuts_.take_all()[0];
  for (const SharedSlice& slice : std::get<std::vector<SharedSlice>>(cut.result))
    bytes += static_cast<int64_t>(slice->pixels.size());
  EXPECT_EQ(bytes, slice_bytes(plan_));
}

TEST_F(ImageWorkersTest, WhatFitsIsCutAndTheRestAsSlicesGo) {
  ImageWorkers workers(2, options_, "auto", slicing_, 2 * slice_bytes(plan_),
                       [&](CutImage cut) { cuts_.take(std::move(cut)); });
  for (RequestId id = 1; id <= 6; ++id) workers.add(request(id));
  size_t done = 0;
  while (done < 6) {
    ASSERT_TRUE(cuts_.wait_for(1));
    const auto some = cuts_.take_all();
    EXPECT_LE(some.size(), 2u) << "these slices are all that may be in memory";
    done += some.size();
  }
}

TEST_F(ImageWorkersTest, AbandonedRequestsMakeRoom) {
  ImageWorkers workers(1, options_, "auto", slicing_, slice_bytes(plan_),
                       [&](CutImage cut) { cuts_.take(std::move(cut)); });
  workers.add(request(1));
  ASSERT_TRUE(cuts_.wait_for(1));
  const auto abandoned = std::make_shared<std::atomic<bool>>(false);
  CutRequest second = request(2, abandoned);
  const std::weak_ptr<const std::string> bytes = second.images[0].bytes;
  workers.add(std::move(second));
  workers.add(request(3));
  *abandoned = true;
  workers.abandoned();
  cuts_.take_all();  // the slices of the first go
  ASSERT_TRUE(cuts_.wait_for(1));
  EXPECT_EQ(cuts_.take_all()[0].request, 3u);
  EXPECT_TRUE(bytes.expired());
}

TEST_F(ImageWorkersTest, SlicesOutliveTheThreadsThatCutThem) {
  std::vector<CutImage> kept;
  {
    ImageWorkers workers(1, options_, "auto", slicing_, 1, [&](CutImage cut) { cuts_.take(std::move(cut)); });
    workers.add(request(1));
    workers.add(request(2));
    ASSERT_TRUE(cuts_.wait_for(1));
    kept = cuts_.take_all();
  }
  EXPECT_FALSE(std::get<std::vector<SharedSlice>>(kept[0].result)[0]->pixels.empty());
}

// backend.isa reaches the resize, which gives the same pixels on all.
TEST_F(ImageWorkersTest, CutByTheInstructionSetThatIsAskedFor) {
  EXPECT_THROW(ImageWorkers(1, options_, "abacus", slicing_, 1, [](CutImage) {}), Error);
}

}  // namespace
}  // namespace uhd
