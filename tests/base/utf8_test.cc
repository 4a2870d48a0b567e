// Valid and invalid UTF-8, whole and in parts.
#include "base/utf8.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Utf8, KnowsWhatIsACharacter) {
  for (const char* valid :
       {"a", "\x7f", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(utf8_length(valid, 0), std::string_view(valid).size()) << valid;
    std::string again;
    append_utf8(again, utf8_at(valid, 0).value);
    EXPECT_EQ(again, valid);
  }
  for (const char* invalid : {"\x80", "\xc0\xaf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                              "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(utf8_length(invalid, 0), 0u) << invalid;
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(first_invalid_utf8("ab\xc3\xa9"), 4u);
  EXPECT_EQ(first_invalid_utf8("ab\xc3\xa9\xc3"), 4u);
  EXPECT_EQ(first_invalid_utf8(""), 0u);
  EXPECT_TRUE(is_utf8("caf\xc3\xa9"));
  EXPECT_FALSE(is_utf8("caf\xc3"));
}

TEST(Utf8, CountsCharacters) { EXPECT_EQ(count_characters("caf\xc3\xa9 \xe4\xbd\xa0\xf0\x9f\x98\x80"), 7u); }

TEST(Utf8, RepairsBySubpartOrByByte) {
  const std::string bytes = "\xed\xa0\x80\xe4\xbd ok\xf0\x9f";
  const auto times = [](int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += kReplacement;
    return text;
  };
  EXPECT_EQ(repair_utf8(bytes, Replacement::per_subpart), times(4) + " ok" + times(1));
  EXPECT_EQ(repair_utf8(bytes, Replacement::per_byte), times(5) + " ok" + times(2));
}

TEST(Utf8Stream, GivesOutWholeCharacters) {
  Utf8Stream stream(Replacement::per_subpart);
  std::string out;
  stream.push("\xe4\xbd", out);
  EXPECT_EQ(out, "");
  EXPECT_EQ(stream.tail(), "\xef\xbf\xbd");
  stream.push("\xa0z", out);
  EXPECT_EQ(out, "\xe4\xbd\xa0z");
  EXPECT_EQ(stream.tail(), "");
  Utf8Stream bytes(Replacement::per_byte);
  bytes.push("\xe4\xbd", out);
  EXPECT_EQ(bytes.tail(), "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace uhd
