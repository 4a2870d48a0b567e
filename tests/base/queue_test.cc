#include "base/queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace uhd {
namespace {

TEST(Queue, RefusesWhenFull) {
  Queue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_TRUE(queue.try_push(3));
}

TEST(Queue, DrainsAfterCloseThenEnds) {
  Queue<int> queue(4);
  queue.try_push(7);
  queue.close();
  EXPECT_FALSE(queue.try_push(8));
  EXPECT_EQ(queue.pop(), 7);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(Queue, WakesAWaitingReader) {
  Queue<int> queue(1);
  std::jthread writer([&] { queue.try_push(5); });
  EXPECT_EQ(queue.pop(), 5);
}

TEST(Queue, GivesUpAtTheDeadline) {
  Queue<int> queue(1);
  EXPECT_EQ(queue.pop_until(Clock::now() + std::chrono::milliseconds(1)), std::nullopt);
}

}  // namespace
}  // namespace uhd
