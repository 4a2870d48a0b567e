#include "model/text/detokenizer.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_tokenizer.h"

namespace uhd {
namespace {

struct Streamed {
  std::vector<std::string> deltas;
  std::string all;
  bool stopped = false;
};

Streamed stream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids,
                std::vector<std::string> stops = {}) {
  Detokenizer detokenizer(tokenizer, std::move(stops));
  Streamed result;
  for (const int32_t id : ids) {
    result.deltas.push_back(detokenizer.push(id));
    result.all += result.deltas.back();
  }
  result.all += detokenizer.flush();
  result.stopped = detokenizer.stopped();
  return result;
}
std::vector<int32_t> bytes_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}
std::vector<int32_t> fallback_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(2 + static_cast<unsigned char>(c));
  return ids;
}
using Deltas = std::vector<std::string>;

TEST(Detokenizer, NeverSplitsACharacter) {
  const auto tokenizer = tiny_byte_tokenizer();
  EXPECT_EQ(stream(tokenizer, bytes_of("a\xe4\xbd\xa0!")).deltas, (Deltas{"a", "", "", "\xe4\xbd\xa0", "!"}));
  EXPECT_EQ(stream(tokenizer, bytes_of("a\xe4\xbd")).all, "a\xef\xbf\xbd");
}

TEST(Detokenizer, HoldsBackStopStrings) {
  const auto tokenizer = tiny_byte_tokenizer();
  const auto stop = stream(tokenizer, bytes_of("one END two"), {"END"});
  EXPECT_EQ(stop.all, "one ");
  EXPECT_TRUE(stop.stopped);
  const auto almost = stream(tokenizer, bytes_of("EN EEND"), {"END!"});
  EXPECT_EQ(almost.deltas, (Deltas{"", "", "EN ", "", "E", "", ""}));
  EXPECT_EQ(almost.all, "EN EEND");
  EXPECT_FALSE(almost.stopped);
}

TEST(Detokenizer, AStopStringMayNotEndWhereNoneMay) {
  const auto tokenizer = tiny_byte_tokenizer();
  const auto all = [&](const std::string& text, size_t held_off) {
    Detokenizer detokenizer(tokenizer, {"END", "N"});
    std::string given;
    size_t pushed = 0;
    for (const int32_t id : bytes_of(text)) given += detokenizer.push(id, ++pushed > held_off);
    return given + detokenizer.flush() + (detokenizer.stopped() ? "|" : "");
  };
  EXPECT_EQ(all("a END b END c", 0), "a E|");
  EXPECT_EQ(all("a END b END c", 5), "a END b E|");
  EXPECT_EQ(all("a END b END c", 4), "a |") << "it may begin there";
  EXPECT_EQ(all("a END b END c", 13), "a END b END c");
  EXPECT_EQ(all("a EN", 4), "a EN") << "nor at the end of the sequence";
}

TEST(Detokenizer, FirstOfSeveralStopStringsWins) {
  const auto tokenizer = tiny_byte_tokenizer();
  EXPECT_EQ(stream(tokenizer, bytes_of("xaby"), {"b", "ab"}).all, "x");
  EXPECT_EQ(stream(tokenizer, bytes_of("aab"), {"ab", ""}).all, "a");
  EXPECT_EQ(stream(tokenizer, {257, 'l', 'o'}, {"ell"}).all, "h");  // inside of a token
}

TEST(Detokenizer, SpecialTokensAreSilent) {
  EXPECT_EQ(stream(tiny_byte_tokenizer(), {'a', 301, 'b', 9999, -1}).all, "ab");
}

TEST(Detokenizer, SpecialTokensAreShownIfAsked) {
  Detokenizer shown(tiny_byte_tokenizer(), {}, false);
  std::string text;
  for (const int32_t id : {int32_t{'a'}, 301, int32_t{'b'}}) text += shown.push(id);
  EXPECT_EQ(text + shown.flush(), "a" + tiny_byte_tokenizer()->bytes_of_token(301) + "b");
}

TEST(Detokenizer, AStopStringIsKeptIfAskedAndNamed) {
  for (const bool keep : {false, true}) {
    Detokenizer detokenizer(tiny_byte_tokenizer(), {"two", "END"}, true, keep);
    std::string text;
    for (const int32_t id : bytes_of("one END two")) text += detokenizer.push(id);
    EXPECT_EQ(text + detokenizer.flush(), keep ? "one END" : "one ");
    EXPECT_TRUE(detokenizer.stopped());
    EXPECT_EQ(detokenizer.stopped_by(), "END");
  }
}

// Byte tokens give out characters as they come. A run that turns out invalid has changed text that was given
// out, so nothing more follows.
TEST(Detokenizer, ByteFallbackRunsStreamUntilTheyBreak) {
  const auto tokenizer = tiny_fallback_tokenizer();
  EXPECT_EQ(stream(tokenizer, fallback_of("\xc3\xa9x")).deltas, (Deltas{"", "\xc3\xa9", "x"}));
  const auto broken = stream(tokenizer, fallback_of("x\xff"
                                                    "y"));
  EXPECT_EQ(broken.deltas, (Deltas{"x", "", ""}));
  EXPECT_EQ(broken.all, "x");
}

TEST(Detokenizer, LongRunsAreNotQuadratic) {
  const auto tokenizer = tiny_fallback_tokenizer();
  EXPECT_EQ(stream(tokenizer, std::vector<int32_t>(1'000'000, 2 + 'a')).all.size(), 1'000'000u);
  EXPECT_EQ(stream(tiny_byte_tokenizer(), std::vector<int32_t>(1'000'000, 0xff)).all.size(), 3'000'000u);
}

}  // namespace
}  // namespace uhd
