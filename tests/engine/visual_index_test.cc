#include "engine/slices/visual_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace uhd {
namespace {

using ::testing::ElementsAre;
using State = VisualIndex::State;

Fingerprint fp(uint64_t n) { return {n, n}; }

TEST(VisualIndex, SharesOneEntryAmongRequests) {
  VisualIndex index(10);
  EXPECT_THAT(*index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 4}}), ElementsAre(State::added));
  EXPECT_THAT(*index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 4}}), ElementsAre(State::expected));
  index.arrived(fp(1));
  EXPECT_THAT(*index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 4}}), ElementsAre(State::arrived));
  EXPECT_EQ(index.free_rows(), 6);
  index.check_integrity();
}

TEST(VisualIndex, HoldsEqualSlicesOfOneRequestTwice) {
  VisualIndex index(4);
  EXPECT_THAT(*index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 4}, {fp(1), 4}}),
              ElementsAre(State::added, State::expected));
  EXPECT_FALSE(index.release(fp(1)));
  EXPECT_TRUE(index.release(fp(1))) << "nobody wants it now";
}

TEST(VisualIndex, GivesAllRowsOrNone) {
  VisualIndex index(10);
  ASSERT_TRUE(index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 6}}));
  EXPECT_FALSE(index.acquire(std::vector<VisualIndex::Piece>{{fp(2), 4}, {fp(3), 4}}));
  EXPECT_EQ(index.free_rows(), 4);
  EXPECT_FALSE(index.contains(fp(2)));
}

TEST(VisualIndex, EvictsTheLeastRecentlyUsedThatNobodyHolds) {
  VisualIndex index(12);
  for (uint64_t n : {1, 2, 3}) {
    ASSERT_TRUE(index.acquire(std::vector<VisualIndex::Piece>{{fp(n), 4}}));
    index.arrived(fp(n));
  }
  index.release(fp(2));
  index.release(fp(1));
  ASSERT_TRUE(index.acquire(std::vector<VisualIndex::Piece>{{fp(4), 4}}));
  EXPECT_FALSE(index.contains(fp(2)));
  EXPECT_TRUE(index.contains(fp(1)));
  EXPECT_TRUE(index.contains(fp(3)));
  index.check_integrity();
}

TEST(VisualIndex, NeverEvictsWhatTheSameRequestNeeds) {
  VisualIndex index(8);
  ASSERT_TRUE(index.acquire(std::vector<VisualIndex::Piece>{{fp(1), 4}}));
  index.arrived(fp(1));
  index.release(fp(1));
  EXPECT_FALSE(index.acquire(std::vector<VisualIndex::Piece>{{fp(2), 8}, {fp(1), 4}}));
  EXPECT_THAT(*index.acquire(std::vector<VisualIndex::Piece>{{fp(2), 4}, {fp(1), 4}}),
              ElementsAre(State::added, State::arrived));
}

TEST(VisualIndex, KeepsItsRowsThroughRandomUse) {
  std::mt19937 random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int run = 0; run < 200; ++run) {
    VisualIndex index(20 + pick(40));
    std::vector<std::vector<VisualIndex::Piece>> held;
    std::set<Fingerprint> expected;
    for (int step = 0; step < 200; ++step) {
      if (pick(2) == 0) {
        std::vector<VisualIndex::Piece> pieces;
        for (int i = 0; i <= pick(3); ++i) {
          const auto n = static_cast<uint64_t>(pick(12));
          pieces.push_back({fp(n), 1 + static_cast<int>(n % 5)});
        }
        if (const auto states = index.acquire(pieces)) {
          for (size_t i = 0; i < pieces.size(); ++i) {
            if ((*states)[i] == State::added) expected.insert(pieces[i].fingerprint);
          }
          held.push_back(pieces);
        }
      } else if (!expected.empty() && pick(2) == 0) {
        index.arrived(*expected.begin());
        expected.erase(expected.begin());
      } else if (!held.empty()) {
        const auto at = held.begin() + pick(static_cast<int>(held.size()));
        for (const auto& piece : *at) {
          if (index.release(piece.fingerprint)) {
            index.forget(piece.fingerprint);
            expected.erase(piece.fingerprint);
          }
        }
        held.erase(at);
      }
      index.check_integrity();
    }
  }
}

}  // namespace
}  // namespace uhd
