#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace uhd {
namespace {

class ThreadPoolOf : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolOf, VisitsEveryIndexOnce) {
  ThreadPool pool(GetParam());
  for (int64_t count : {0, 1, 2, 7, 64, 1001}) {
    for (int64_t grain : {1, 3, 64, 5000}) {
      std::vector<int> visits(count, 0);
      pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        EXPECT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) ++visits[i];
      });
      EXPECT_EQ(std::accumulate(visits.begin(), visits.end(), int64_t{0}), count);
      for (int v : visits) EXPECT_EQ(v, 1);
    }
  }
}

TEST_P(ThreadPoolOf, RunsManyShortLoops) {
  ThreadPool pool(GetParam());
  std::atomic<int64_t> sum = 0;
  for (int i = 0; i < 20000; ++i) {
    pool.parallel_for(4, 1, [&](int64_t begin, int64_t) { sum += begin; });
  }
  EXPECT_EQ(sum, 20000 * 6);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolOf, testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace uhd
