#include "scheduler/page_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace uhd {
namespace {

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
  {
    PageRef second = first.share();
    EXPECT_EQ(pool.holders(second.page()), 2);
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

TEST(PagePool, RefusesToBeEmpty) { EXPECT_THROW(PagePool(0), Error); }

}  // namespace
}  // namespace uhd
