#include "base/hash.h"

#include <gtest/gtest.h>

namespace uhd {
namespace {

TEST(Sha256, MatchesThePublishedVector) {
  const auto digest = sha256(bytes_of(std::string_view("abc")));
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[1], 0x78);
  EXPECT_EQ(digest[31], 0xad);
}

TEST(Fingerprint, TellsPartBordersApart) {
  const auto a = fingerprint({bytes_of(std::string_view("ab")), bytes_of(std::string_view("c"))});
  const auto b = fingerprint({bytes_of(std::string_view("a")), bytes_of(std::string_view("bc"))});
  EXPECT_NE(a, b);
  EXPECT_EQ(a, fingerprint({bytes_of(std::string_view("ab")), bytes_of(std::string_view("c"))}));
  EXPECT_EQ(a.hex().size(), 32u);
}

TEST(Fingerprint, OfAStringIsOfItsCharacters) {
  const std::string a = "a text longer than what a string keeps inside itself";
  const std::string b = a.substr(0, 10) + a.substr(10);
  EXPECT_EQ(fingerprint({bytes_of(a)}), fingerprint({bytes_of(b)}));
  EXPECT_EQ(fingerprint({bytes_of(a)}), fingerprint({bytes_of(std::string_view(a))}));
}

}  // namespace
}  // namespace uhd
