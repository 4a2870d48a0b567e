// Tests how our messages quote a client's text.
#include "net/quoted.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Quoted, KeepsValidTextAndReplacesTheRest) {
  EXPECT_EQ(quoted("caf\xc3\xa9 \xe4\xbd\xa0"), "caf\xc3\xa9 \xe4\xbd\xa0");
  EXPECT_EQ(quoted("a\r\nb\x7f\x1b"), "a??b??");
  EXPECT_EQ(quoted("\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Quoted, CutsAfterAWholeCharacter) {
  EXPECT_EQ(quoted("abc", 3), "abc");
  EXPECT_EQ(quoted("abcd", 3), "abc...");
  EXPECT_EQ(quoted("ab\xc3\xa9", 3), "ab...");
}

}  // namespace
}  // namespace uhd
