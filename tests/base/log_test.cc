// Tests how values look in a line of the log.
#include "base/log.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Log, PlainValuesStayAsTheyAre) {
  for (const char* plain :
       {"", "7", "127.0.0.1:80", "/models/nano-uhd", "caf\xc3\xa9", "\xe4\xbd\xa0\xe5\xa5\xbd"}) {
    EXPECT_EQ(log_value(plain), plain);
  }
}

TEST(Log, ValuesCannotForgeAPair) {
  EXPECT_EQ(log_value("a b"), "\"a b\"");
  EXPECT_EQ(log_value("a=b"), "\"a=b\"");
  EXPECT_EQ(log_value("a\" x=1"), "\"a\\\" x=1\"");
  EXPECT_EQ(log_value("a\\\" x=1"), "\"a\\\\\\\" x=1\"");
}

TEST(Log, ValuesCannotEndALineOrSteerATerminal) {
  EXPECT_EQ(log_value("no\nforged"), "no\\nforged");
  EXPECT_EQ(log_value("\r\t\x1b[31m"), "\\r\\t\\x1b[31m");
  EXPECT_EQ(log_value(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(log_value("\x7f"), "\\x7f");
  EXPECT_EQ(log_value("\xc2\x9b"), "\\xc2\\x9b");           // as ESC [ in one character
  EXPECT_EQ(log_value("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // turns the direction of writing
  EXPECT_EQ(log_value("\xe2\x80\xa8"), "\\xe2\\x80\\xa8");  // ends a line
  EXPECT_EQ(printable("uhd: \x1b]0;x\x07\n"), "uhd: \\x1b]0;x\\x07\\n");
}

TEST(Log, WhatIsNoUtf8IsEscaped) {
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe4\xbd", "\x80"}) {
    const std::string value = log_value(bad);
    EXPECT_EQ(value.substr(0, 2), "\\x") << value;
    for (char c : value) EXPECT_TRUE(c > 0x20 && c < 0x7f) << value;
  }
}

TEST(Log, LongValuesAreCut) {
  const std::string value = log_value(std::string(100'000, 'x'));
  EXPECT_LT(value.size(), 2000u);
  EXPECT_EQ(value.substr(value.size() - 4), "x...");
}

TEST(LogLine, TheSamePairsAsTextAndAsJson) {
  const auto line = [](LogFormat format) {
    LogLine made(format, "request \"ended\"");
    add_pairs(made, "id", 7, "seconds", 0.5, "path", "/v1 x=y", "ok", true, "odd", 0.0 / 0.0);
    return made.text();
  };
  EXPECT_TRUE(
      line(LogFormat::text).starts_with("request \"ended\" id=7 seconds=0.5 path=\"/v1 x=y\" ok=true odd="))
      << line(LogFormat::text);
  EXPECT_TRUE(
      line(LogFormat::json)
          .starts_with(
              R"("message":"request \"ended\"","id":7,"seconds":0.5,"path":"/v1 x=y","ok":true,"odd":")"))
      << line(LogFormat::json);
}

TEST(LogLine, AJsonStringIsOneLineOfUtf8) {
  EXPECT_EQ(json_value("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json_value("no\nforged\x1b[0m"), R"("no\u000aforged\u001b[0m")");
  EXPECT_EQ(json_value("\xe2\x80\xae"), R"("\u202e")");
  EXPECT_EQ(json_value("caf\xc3\xa9 \xff"), "\"caf\xc3\xa9 \xef\xbf\xbd\"");
  const std::string cut = json_value(std::string(100'000, 'x'));
  EXPECT_LT(cut.size(), 2000u);
  EXPECT_TRUE(cut.ends_with("x...\""));
}

TEST(LogQuota, LetsAFewThroughAndCountsTheRest) {
  LogQuota quota(2, std::chrono::seconds(10));
  const TimePoint begin = Clock::now();
  EXPECT_EQ(quota.take(begin), 0);
  EXPECT_EQ(quota.take(begin), 0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(quota.take(begin + std::chrono::seconds(9)), std::nullopt);
  EXPECT_EQ(quota.take(begin + std::chrono::seconds(11)), 100);
  EXPECT_EQ(quota.take(begin + std::chrono::seconds(11)), 0);
  EXPECT_EQ(quota.take(begin + std::chrono::seconds(11)), std::nullopt);
}

}  // namespace
}  // namespace uhd
