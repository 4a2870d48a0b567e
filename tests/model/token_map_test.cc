// Tests the table of a vocabulary's texts.
#include "model/text/token_map.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace uhd {
namespace {

TEST(TokenMap, FindsWhatWasAddedAndNothingElse) {
  constexpr int32_t kTokens = 3000;
  size_t bytes = 0;
  for (int32_t i = 0; i < kTokens; ++i) bytes += std::to_string(i).size();
  TokenMap map(kTokens, bytes);
  for (int32_t i = 0; i < kTokens; ++i) map.add(std::to_string(i), 7 * i);
  ASSERT_EQ(map.size(), static_cast<size_t>(kTokens));
  for (int32_t i = 0; i < kTokens; ++i) {
    EXPECT_EQ(map.find(std::to_string(i)), 7 * i);
    EXPECT_EQ(map.text(static_cast<size_t>(i)), std::to_string(i));
    EXPECT_EQ(map.id(static_cast<size_t>(i)), 7 * i);
  }
  for (const char* other : {"", "00", "3000", "-1", "12 "}) EXPECT_FALSE(map.find(other)) << other;
  EXPECT_THROW(map.add("x", 0), Error);
}

TEST(TokenMap, KeepsTheFirstOfEqualTexts) {
  TokenMap map(3, 4);
  map.add("", 5);
  map.add("ab", 1);
  map.add("ab", 2);
  EXPECT_EQ(map.find(""), 5);
  EXPECT_EQ(map.find("ab"), 1);
  EXPECT_EQ(map.size(), 2u);
  EXPECT_FALSE(TokenMap().find(""));
}

}  // namespace
}  // namespace uhd
