#include "base/parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uhd {
namespace {

using Log = std::vector<std::string>;

struct Local {
  Log& log;
  ~Local() { log.emplace_back("released"); }
};

Parts count(int parts, Log& log) {
  const Local local{log};
  for (int i = 0; i < parts; ++i) {
    log.push_back(std::to_string(i));
    if (i + 1 < parts) co_yield Parts::Pause{};
  }
}

Parts twice(int parts, Log& log) {
  for (Parts inner = count(parts, log); inner.advance();) co_yield Parts::Pause{};
  for (Parts inner = count(parts, log); inner.advance();) co_yield Parts::Pause{};
}

Parts fails(Log& log) {
  const Local local{log};
  co_yield Parts::Pause{};
  throw Error("it failed");
}

TEST(Parts, DoNothingBeforeTheFirst) {
  Log log;
  Parts work = count(2, log);
  EXPECT_TRUE(work);
  EXPECT_TRUE(log.empty());
}

TEST(Parts, AreDoneOneAfterAnother) {
  Log log;
  Parts work = count(3, log);
  EXPECT_TRUE(work.advance());
  EXPECT_THAT(log, testing::ElementsAre("0"));
  EXPECT_TRUE(work.advance());
  EXPECT_FALSE(work.advance());
  EXPECT_THAT(log, testing::ElementsAre("0", "1", "2", "released"));
  EXPECT_FALSE(work);
  EXPECT_THROW(work.advance(), Error);
}

TEST(Parts, MayBeOfOtherParts) {
  Log log;
  Parts work = twice(2, log);
  int advanced = 0;
  while (work) {
    work.advance();
    ++advanced;
  }
  EXPECT_EQ(advanced, 3) << "the end of the one and the beginning of the other are one part";
  EXPECT_THAT(log, testing::ElementsAre("0", "1", "released", "0", "1", "released"));
}

TEST(Parts, ThrowWhatTheWorkThrows) {
  Log log;
  Parts work = fails(log);
  work.advance();
  EXPECT_THROW(work.advance(), Error);
  EXPECT_THAT(log, testing::ElementsAre("released"));
  EXPECT_FALSE(work);
}

TEST(Parts, AreLeftWhereTheyStand) {
  Log log;
  {
    Parts work = twice(2, log);
    work.advance();
    work = {};
  }
  EXPECT_THAT(log, testing::ElementsAre("0", "released"));
  EXPECT_FALSE(Parts{});
}

}  // namespace
}  // namespace uhd
