// Lets ranks compare their settings when they meet.
#include "cluster/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "cluster/host/local_communicator.h"

namespace uhd {
namespace {

TEST(Facts, EachDifferenceIsNamed) {
  const Facts ours{{"model.dtype", "bf16"}, {"engine.page_size", "64"}, {"here", "1"}};
  const Facts theirs{{"engine.page_size", "32"}, {"model.dtype", "bf16"}, {"there", "1"}};
  EXPECT_EQ(difference(ours, "a", ours, "b"), "");
  EXPECT_EQ(difference(ours, "a", theirs, "b"),
            "engine.page_size is 64 on a and 32 on b; here is known to a alone; there is known to b alone");
}

// Returns the message that each rank of a group gets.
std::vector<std::string> agree(const std::vector<Facts>& facts) {
  auto groups = make_local_communicators(static_cast<int>(facts.size()));
  std::vector<std::string> heard(facts.size());
  {
    std::vector<std::jthread> ranks;
    for (size_t i = 0; i < facts.size(); ++i) {
      ranks.emplace_back([&, i] {
        try {
          agree_on(facts[i], *groups[i]);
        } catch (const Error& e) {
          heard[i] = e.what();
        }
      });
    }
  }
  return heard;
}

TEST(Facts, EqualRanksAgree) {
  const Facts facts{{"model.dtype", "bf16"}, {"engine.page_size", "64"}};
  EXPECT_THAT(agree({facts, facts, facts}), testing::Each(""));
  EXPECT_THAT(agree({facts}), testing::Each(""));
}

TEST(Facts, EveryRankHearsWhichOneDiffers) {
  const Facts facts{{"model.dtype", "bf16"}};
  EXPECT_THAT(agree({facts, facts, {{"model.dtype", "f32"}}}),
              testing::Each(testing::HasSubstr("model.dtype is bf16 on rank 0 and f32 on rank 2")));
}

}  // namespace
}  // namespace uhd
