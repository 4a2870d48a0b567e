#include "scheduler/page_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace uhd {
namespace {

constexpr Fingerprint kFirst{1, 1}, kSecond{2, 2}, kThird{3, 3};

TEST(PagePool, HandsOutEveryPageOnce) {
  PagePool pool(5);
  std::set<int32_t> pages;
  std::vector<PageRef> refs;
  while (pool.free() > 0) {
    refs.push_back(pool.take());
    pages.insert(refs.back().page());
  }
  EXPECT_EQ(pages, (std::set<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_THROW(pool.take(), Error);
  pool.check_integrity();
  refs.clear();
  EXPECT_EQ(pool.free(), 5);
  pool.check_integrity();
}

TEST(PagePool, FreesSharedPageWhenLastHolderEnds) {
  PagePool pool(1);
  PageRef first = pool.take();
  pool.name(first, kFirst);
  {
    const auto second = pool.find(kFirst);
    EXPECT_EQ(pool.holders(second->page()), 2);
    { PageRef gone = std::move(first); }
    EXPECT_EQ(pool.free(), 0);
  }
  EXPECT_EQ(pool.free(), 1);
  pool.check_integrity();
}

TEST(PagePool, MovedReferenceHoldsOnce) {
  PagePool pool(2);
  PageRef a = pool.take();
  PageRef b = pool.take();
  b = std::move(a);
  EXPECT_EQ(pool.total() - pool.free(), 2) << "assignment swaps; nothing is freed while both live";
  pool.check_integrity();
}

TEST(PagePool, KeepsANamedPageUntilItIsNeeded) {
  PagePool pool(2);
  int32_t kept = -1;
  {
    const PageRef page = pool.take();
    kept = page.page();
    pool.name(page, kFirst);
    EXPECT_FALSE(pool.find(kSecond));
  }
  EXPECT_EQ(pool.free(), 2) << "it can be taken";
  {
    const auto found = pool.find(kFirst);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->page(), kept);
    EXPECT_EQ(pool.free(), 1);
    EXPECT_NE(pool.take().page(), kept);
  }
  pool.check_integrity();
  EXPECT_NE(pool.take().page(), kept) << "a page without a name goes first";
  const PageRef one = pool.take(), two = pool.take();
  EXPECT_FALSE(pool.find(kFirst));
  EXPECT_EQ(pool.evictions(), 1);
  pool.check_integrity();
}

TEST(PagePool, LetsTheLeastRecentlyUsedGoFirst) {
  PagePool pool(3);
  std::vector<PageRef> pages;
  for (const Fingerprint& name : {kFirst, kSecond, kThird}) {
    pages.push_back(pool.take());
    pool.name(pages.back(), name);
  }
  pages.clear();
  pool.find(kFirst);  // is used once more
  const PageRef taken = pool.take();
  EXPECT_TRUE(pool.find(kFirst));
  EXPECT_FALSE(pool.find(kSecond));
  EXPECT_TRUE(pool.find(kThird));
  pool.check_integrity();
}

TEST(PagePool, OnePageHasOneName) {
  PagePool pool(2);
  const PageRef a = pool.take(), b = pool.take();
  pool.name(a, kFirst);
  pool.name(b, kFirst);
  EXPECT_FALSE(pool.is_named(b.page()));
  pool.name(a, kSecond);
  EXPECT_FALSE(pool.find(kSecond));
  EXPECT_EQ(pool.find(kFirst)->page(), a.page());
  pool.check_integrity();
}

TEST(PagePool, RefusesToBeEmpty) { EXPECT_THROW(PagePool(0), Error); }

}  // namespace
}  // namespace uhd
