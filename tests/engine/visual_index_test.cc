#include "engine/slices/visual_index.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/error.h"

namespace uhd {
namespace {

using State = VisualIndex::State;

Fingerprint fp(uint64_t n) { return {n, n}; }

State take(VisualIndex& index, uint64_t n, int rows) {
  EXPECT_TRUE(index.reserve(rows));
  return index.acquire(fp(n), rows);
}

TEST(VisualIndex, SharesOneEntryAmongRequests) {
  VisualIndex index(10);
  EXPECT_EQ(take(index, 1, 4), State::added);
  EXPECT_EQ(take(index, 1, 4), State::expected);
  index.arrived(fp(1));
  EXPECT_EQ(take(index, 1, 4), State::arrived);
  EXPECT_EQ(index.free_rows(), 6);
  EXPECT_EQ(index.reserved_rows(), 0) << "what is there already costs no row";
  index.check_integrity();
}

TEST(VisualIndex, HoldsEqualSlicesOfOneRequestTwice) {
  VisualIndex index(8);
  ASSERT_TRUE(index.reserve(8));
  EXPECT_EQ(index.acquire(fp(1), 4), State::added);
  EXPECT_EQ(index.acquire(fp(1), 4), State::expected);
  EXPECT_FALSE(index.release(fp(1)));
  EXPECT_TRUE(index.release(fp(1))) << "nobody wants it now";
}

TEST(VisualIndex, ReservesAllRowsOrNone) {
  VisualIndex index(10);
  ASSERT_TRUE(index.reserve(6));
  EXPECT_FALSE(index.reserve(5));
  EXPECT_EQ(index.reserved_rows(), 6);
  EXPECT_TRUE(index.reserve(4));
  index.unreserve(6);
  EXPECT_TRUE(index.reserve(6));
  EXPECT_THROW(index.unreserve(11), Error);
}

TEST(VisualIndex, EvictsTheLeastRecentlyUsedThatNobodyHolds) {
  VisualIndex index(12);
  for (uint64_t n : {1, 2, 3}) {
    EXPECT_EQ(take(index, n, 4), State::added);
    index.arrived(fp(n));
  }
  index.release(fp(2));
  index.release(fp(1));
  EXPECT_EQ(take(index, 4, 4), State::added);
  EXPECT_FALSE(index.contains(fp(2)));
  EXPECT_TRUE(index.contains(fp(1)));
  EXPECT_TRUE(index.contains(fp(3)));
  index.check_integrity();
}

TEST(VisualIndex, PromisesNoRowTwiceWhenAnIdleSliceIsWantedAgain) {
  VisualIndex index(8);
  EXPECT_EQ(take(index, 1, 4), State::added);
  index.arrived(fp(1));
  index.release(fp(1));
  ASSERT_TRUE(index.reserve(8)) << "the idle slice would give way";
  EXPECT_EQ(index.acquire(fp(1), 4), State::arrived);
  EXPECT_FALSE(index.reserve(1));
  EXPECT_EQ(index.acquire(fp(2), 4), State::added);
  index.check_integrity();
}

TEST(VisualIndex, RefusesASliceThatNobodyReserved) {
  VisualIndex index(8);
  ASSERT_TRUE(index.reserve(3));
  EXPECT_THROW(index.acquire(fp(1), 4), Error);
}

// Requests reserve rows for some slices, learn of them one by one, and end at any time.
TEST(VisualIndex, KeepsItsRowsThroughRandomUse) {
  std::mt19937 random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const auto rows_of = [](uint64_t n) { return 1 + static_cast<int>(n % 5); };
  struct Request {
    std::vector<uint64_t> unknown, held;
  };
  for (int run = 0; run < 200; ++run) {
    VisualIndex index(20 + pick(40));
    std::vector<Request> requests;
    std::set<Fingerprint> expected;
    for (int step = 0; step < 200; ++step) {
      const int what = pick(4);
      if (what == 0) {
        Request request;
        int rows = 0;
        for (int i = 0; i <= pick(3); ++i) {
          request.unknown.push_back(static_cast<uint64_t>(pick(12)));
          rows += rows_of(request.unknown.back());
        }
        if (index.reserve(rows)) requests.push_back(request);
      } else if (what == 1 && !expected.empty()) {
        index.arrived(*expected.begin());
        expected.erase(expected.begin());
      } else if (!requests.empty()) {
        const auto at = requests.begin() + pick(static_cast<int>(requests.size()));
        if (what == 2 && !at->unknown.empty()) {
          const uint64_t n = at->unknown.back();
          at->unknown.pop_back();
          at->held.push_back(n);
          if (index.acquire(fp(n), rows_of(n)) == State::added) expected.insert(fp(n));
        } else if (what == 3) {
          for (uint64_t n : at->unknown) index.unreserve(rows_of(n));
          for (uint64_t n : at->held) {
            if (!index.release(fp(n))) continue;
            index.forget(fp(n));
            expected.erase(fp(n));
          }
          requests.erase(at);
        }
      }
      index.check_integrity();
    }
  }
}

}  // namespace
}  // namespace uhd
