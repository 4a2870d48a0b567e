#include "engine/leader/known_cuts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Fingerprint numbered(uint64_t n) { return {n, n}; }

TEST(KnownCuts, APicturesNameIsOfItsBytesItsPlanAndWhoMayKnow) {
  SlicePlan plan;
  plan.image = plan.overview = {3, 4};
  SlicePlan other = plan;
  other.columns = 2;
  const std::set<Fingerprint> names = {cut_name("picture", plan, "a"), cut_name("Picture", plan, "a"),
                                       cut_name("picture", other, "a"), cut_name("picture", plan, "b")};
  EXPECT_EQ(names.size(), 4u);
  EXPECT_TRUE(names.contains(cut_name("picture", plan, "a")));
}

TEST(KnownCuts, ForgetsWhatWasCutLeastRecently) {
  KnownCuts cuts(5);
  cuts.add(numbered(1), {numbered(10), numbered(11)});
  cuts.add(numbered(2), {numbered(20), numbered(21)});
  EXPECT_THAT(cuts.find(numbered(1)), ElementsAre(numbered(10), numbered(11)));
  cuts.add(numbered(1), {numbered(10), numbered(11)});
  EXPECT_THAT(cuts.find(numbered(2)), ElementsAre(numbered(20), numbered(21)))
      << "what is cut again counts once";
  cuts.add(numbered(3), {numbered(30), numbered(31)});
  EXPECT_THAT(cuts.find(numbered(2)), IsEmpty());
  EXPECT_THAT(cuts.find(numbered(1)), ElementsAre(numbered(10), numbered(11)));
  cuts.add(numbered(4), std::vector<Fingerprint>(6));
  EXPECT_THAT(cuts.find(numbered(4)), IsEmpty()) << "it is more than all";
  EXPECT_THAT(cuts.find(numbered(3)), ElementsAre(numbered(30), numbered(31)));
}

}  // namespace
}  // namespace uhd
