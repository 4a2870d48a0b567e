#include "engine/leader/client_turns.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TimePoint moment(double s) { return TimePoint{} + from_seconds(s); }

TEST(ClientTurns, WhoWasServedStandsBehindAllOthers) {
  ClientTurns turns;
  ASSERT_TRUE(turns.ask("a", moment(0)));
  turns.begin("a");
  EXPECT_FALSE(turns.ask("a", moment(1)));
  EXPECT_FALSE(turns.ask("b", moment(1)));
  EXPECT_FALSE(turns.ask("c", moment(1)));
  turns.end(moment(60));
  EXPECT_FALSE(turns.ask("a", moment(61))) << "though it asked first for another turn";
  EXPECT_FALSE(turns.ask("c", moment(61)));
  EXPECT_TRUE(turns.ask("b", moment(61))) << "places do not lapse while somebody is served";
  turns.begin("b");
  turns.end(moment(62));
  EXPECT_FALSE(turns.ask("a", moment(62)));
  EXPECT_TRUE(turns.ask("c", moment(62)));
}

TEST(ClientTurns, WhoWasServedLastWaitsForThoseWhoComeLater) {
  ClientTurns turns;
  ASSERT_TRUE(turns.ask("a", moment(0)));
  turns.begin("a");
  EXPECT_FALSE(turns.ask("a", moment(1)));
  EXPECT_FALSE(turns.ask("b", moment(1)));
  turns.end(moment(2));
  EXPECT_TRUE(turns.ask("b", moment(2)));
  turns.begin("b");
  EXPECT_FALSE(turns.ask("c", moment(3))) << "a is behind all others no more";
  turns.end(moment(4));
  EXPECT_FALSE(turns.ask("c", moment(4)));
  EXPECT_TRUE(turns.ask("a", moment(4)));
}

TEST(ClientTurns, APlaceLapsesWhenItsClientStaysAway) {
  ClientTurns turns;
  ASSERT_TRUE(turns.ask("a", moment(0)));
  turns.begin("a");
  EXPECT_FALSE(turns.ask("b", moment(1)));
  turns.end(moment(10));
  EXPECT_FALSE(turns.ask("a", moment(10.9)));
  EXPECT_TRUE(turns.ask("a", moment(11.1)));
  turns.begin("a");
  turns.end(moment(13));
  EXPECT_TRUE(turns.ask("b", moment(13)));
}

TEST(ClientTurns, WhoMayBeginTakesNoPlace) {
  ClientTurns turns;
  EXPECT_TRUE(turns.ask("a", moment(0)));
  EXPECT_TRUE(turns.ask("b", moment(0))) << "a does not begin after all";
}

TEST(ClientTurns, HaveABoundedNumberOfPlaces) {
  ClientTurns turns;
  ASSERT_TRUE(turns.ask("first", moment(0)));
  turns.begin("first");
  for (size_t i = 0; i <= ClientTurns::kMostPlaces; ++i)
    EXPECT_FALSE(turns.ask(std::to_string(i), moment(0)));
  turns.end(moment(0));
  for (size_t i = 0; i < ClientTurns::kMostPlaces; ++i) {
    EXPECT_TRUE(turns.ask(std::to_string(i), moment(0)));
    turns.begin(std::to_string(i));
    turns.end(moment(0));
  }
  EXPECT_TRUE(turns.ask("new", moment(0))) << "the one too many has no place";
}

}  // namespace
}  // namespace uhd
