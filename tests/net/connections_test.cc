#include "net/connections.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace uhd {
namespace {

class ConnectionsTest : public testing::Test {
 protected:
  std::unique_ptr<Connections::Place> enter(const std::string& client, const std::string& name) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that one has waited longer
    return all_.enter(client, [this, name] { asked_.push_back(name); });
  }
  Connections all_{3};
  std::vector<std::string> asked_;
};

TEST_F(ConnectionsTest, TheLongestIdleGivesWayToANewcomer) {
  const auto a = enter("a", "a");
  const auto b = enter("b", "b");
  const auto c = enter("c", "c");
  a->wait_for_client();  // it has just been answered
  const auto d = enter("d", "d");
  ASSERT_NE(d, nullptr);
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
}

TEST_F(ConnectionsTest, TheClientWithTheMostGivesWayFirst) {
  const auto a = enter("lonely", "a");
  const auto b = enter("many", "b");
  const auto c = enter("many", "c");
  const auto d = enter("new", "d");
  ASSERT_NE(d, nullptr);
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
}

TEST_F(ConnectionsTest, WorkIsNotInterrupted) {
  const auto a = enter("a", "a");
  auto b = enter("b", "b");
  const auto c = enter("c", "c");
  a->work();
  b->work();
  c->work();
  EXPECT_EQ(enter("d", "d"), nullptr);
  b.reset();
  EXPECT_NE(enter("d", "d"), nullptr);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ConnectionsTest, OneThatHasWorkAfterAllStays) {
  const auto a = enter("a", "a");
  const auto b = enter("b", "b");
  const auto c = enter("c", "c");
  const auto d = enter("d", "d");
  a->work();  // was asked, and has a request
  b->work();
  c->work();
  d->work();
  EXPECT_EQ(enter("e", "e"), nullptr);
}

TEST_F(ConnectionsTest, EachIsAskedOnce) {
  const auto a = enter("a", "a");
  const auto b = enter("b", "b");
  const auto c = enter("c", "c");
  const auto d = enter("d", "d");
  const auto e = enter("e", "e");
  EXPECT_EQ(asked_, (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace uhd
