#include "model/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "model/text/end_tokens.h"
#include "model/text/normalizer.h"
#include "model/text/regex.h"
#include "model/text/sentencepiece_model.h"
#include "model/text/unicode.h"
#include "tests/model/tiny_tokenizer.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::string failure_of(const boost::json::value& json) {
  try {
    make_tokenizer_json(boost::json::serialize(json), "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}
// The tiny tokenizer with one part changed.
std::string failure_with(const char* key, const boost::json::value& value) {
  boost::json::object json = tiny_byte_json();
  json[key] = value;
  return failure_of(json);
}

TEST(TokenizerJson, MergesBytesByRank) {
  const auto tokenizer = tiny_byte_tokenizer();
  EXPECT_EQ(tokenizer->encode("hello", false, true), (Ids{257, 'l', 'o'}));
  EXPECT_EQ(tokenizer->encode("", true, true), Ids{});
  EXPECT_EQ(tokenizer->decode(Ids{257, 'l', 'o', 300}, false), "hello<|im_start|>");
  EXPECT_EQ(tokenizer->decode(Ids{257, 'l', 'o', 300, 999, -5, 270}, true), "hello");
  EXPECT_EQ(tokenizer->vocabulary(), 304);
  EXPECT_EQ(tokenizer->bytes_of_token(0xe9), "\xe9");
  EXPECT_EQ(tokenizer->bytes_of_token(-1), "");
}

TEST(TokenizerJson, SpecialTokensOnlyWhereAllowed) {
  const auto tokenizer = tiny_byte_tokenizer();
  EXPECT_EQ(tokenizer->encode("a<|im_end|>b", false, true), (Ids{'a', 301, 'b'}));
  EXPECT_EQ(tokenizer->encode("a<|im_end|>", false, false).size(), 11u);
  EXPECT_EQ(tokenizer->encode("<tool>", false, false), Ids{303});  // added, but not special
  const TextRange touch{11, 12};
  EXPECT_EQ(tokenizer->encode_around("<|im_end|>x<|im_end|>", false, {&touch, 1}).front(), 301);
  const TextRange inside{3, 4};
  EXPECT_EQ(tokenizer->encode_around("<|im_end|><|im_end|>", false, {&inside, 1}).back(), 301);
  EXPECT_NE(tokenizer->encode_around("<|im_end|><|im_end|>", false, {&inside, 1}).front(), 301);
}

TEST(TokenizerJson, RepairsInvalidUtf8) {
  const auto tokenizer = tiny_byte_tokenizer();
  EXPECT_EQ(tokenizer->encode("a\xff", false, true), (Ids{'a', 0xef, 0xbf, 0xbd}));
  EXPECT_EQ(tokenizer->decode(Ids{0xe4, 0xbd}, true), "\xef\xbf\xbd");
  EXPECT_EQ(tokenizer->decode(Ids{0xff, 0xfe, 'a'}, true),
            "\xef\xbf\xbd\xef\xbf\xbd"
            "a");
}

TEST(TokenizerJson, ByteFallbackAndTemplate) {
  const auto tokenizer = tiny_fallback_tokenizer();
  EXPECT_EQ(tokenizer->encode("ab", true, true), (Ids{1, 258, 259, 260}));
  EXPECT_EQ(tokenizer->encode("\xc3\xa9", false, true), (Ids{258, 2 + 0xc3, 2 + 0xa9}));
  EXPECT_EQ(tokenizer->decode(Ids{1, 258, 2 + 0xc3, 2 + 0xa9}, true), "\xc3\xa9");
  // A run of byte tokens that is not valid as a whole is replaced as a whole.
  EXPECT_EQ(tokenizer->decode(Ids{2 + 0xc3, 2 + 0xa9, 2 + 0xff}, true),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(TokenizerJson, AddedTokensTakeSpacesAndWords) {
  boost::json::object json = tiny_byte_json();
  boost::json::object left = added_token(310, "<l>");
  left["lstrip"] = true;
  boost::json::object right = added_token(311, "<r>");
  right["rstrip"] = true;
  boost::json::object word = added_token(312, "cat");
  word["single_word"] = true;
  json["added_tokens"] = boost::json::array{left, right, word};
  const auto tokenizer = make_tokenizer_json(boost::json::serialize(json), "file");
  EXPECT_EQ(tokenizer->encode("a  <l> b", false, true), (Ids{'a', 310, ' ', 'b'}));
  EXPECT_EQ(tokenizer->encode("a <r>  b", false, true), (Ids{'a', ' ', 311, 'b'}));
  EXPECT_EQ(tokenizer->encode("cat", false, true), Ids{312});
  EXPECT_EQ(tokenizer->encode("cats", false, true), (Ids{'c', 'a', 't', 's'}));
}

TEST(TokenizerJson, RefusesBrokenFiles) {
  EXPECT_THAT(failure_of(boost::json::object{}), HasSubstr("has no model"));
  EXPECT_THAT(failure_of(7), HasSubstr("not a JSON object"));
  EXPECT_THAT(failure_with("model", {{"type", "WordPiece"}}), HasSubstr("'WordPiece' is not supported"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", 1}}}, {"merges", {"a b"}}}),
              HasSubstr("vocabulary lacks"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", 1}}}, {"merges", {"ab"}}}),
              HasSubstr("not two tokens"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", 1}}}, {"merges", boost::json::array{1}}}),
              HasSubstr("merge"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", -1}}}, {"merges", boost::json::array{}}}),
              HasSubstr("'a' has no id"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", 2000000000}}}, {"merges", boost::json::array{}}}),
              HasSubstr("'a' has no id"));
  EXPECT_THAT(failure_with("model", {{"vocab", {{"a", 1e300}}}, {"merges", boost::json::array{}}}),
              HasSubstr("'a' has no id"));
  EXPECT_THAT(failure_with("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "("}}}}),
              HasSubstr("regular expression is wrong"));
  EXPECT_THAT(failure_with("pre_tokenizer", {{"type", "Magic"}}), HasSubstr("'Magic' is not supported"));
  EXPECT_THAT(failure_with("normalizer", {{"type", "Precompiled"}}),
              HasSubstr("'Precompiled' is not supported"));
  EXPECT_THAT(failure_with("decoder", {{"type", "WordPiece"}}), HasSubstr("'WordPiece' is not supported"));
  EXPECT_THAT(failure_with("added_tokens", boost::json::array{added_token(-1, "x")}), HasSubstr("the id -1"));
  EXPECT_THAT(failure_with("added_tokens", boost::json::array{added_token(2000000000, "x")}),
              HasSubstr("the id"));
  EXPECT_THAT(failure_with("added_tokens", boost::json::array{added_token(5, "")}),
              HasSubstr("without content"));
  EXPECT_THAT(failure_with("post_processor", {{"type", "TemplateProcessing"},
                                              {"single", boost::json::array{boost::json::object{
                                                             {"SpecialToken", {{"id", "<nope>"}}}}}}}),
              HasSubstr("'<nope>' is not known"));
  boost::json::object nested{{"type", "NFC"}};
  for (int i = 0; i < 12; ++i) nested = {{"type", "Sequence"}, {"normalizers", boost::json::array{nested}}};
  EXPECT_THAT(failure_with("normalizer", nested), HasSubstr("nested too deeply"));
}

TEST(TokenizerJson, LongWordsAreNotQuadratic) {
  const auto tokenizer = tiny_byte_tokenizer();
  const size_t length = 2'000'000;
  EXPECT_EQ(tokenizer->encode(std::string(length, 'h'), false, true).size(), length);
  std::string hels;
  for (size_t i = 0; i < length / 3; ++i) hels += "hel";
  EXPECT_EQ(tokenizer->encode(hels, false, true).size(), length / 3);
  EXPECT_EQ(tokenizer->encode(std::string(length, ' '), false, true).size(), length);
  EXPECT_EQ(tokenizer->encode(std::string(length, '<'), false, true).size(), length);
}

// Marks in falling order of their class, which a sort by neighbours takes quadratic time for.
TEST(Unicode, LongRunsOfMarksNormalise) {
  std::string marks = "a";
  for (int i = 0; i < 200'000; ++i) marks += i < 100'000 ? "\xcc\x81" : "\xcc\xa3";  // class 230, then 220
  const std::string normal = normal_form(marks, NormalForm::nfc);
  EXPECT_TRUE(normal.starts_with("\xe1\xba\xa1\xcc\xa3"));  // U+1EA1, and the marks below come first
  EXPECT_EQ(normal_form("e\xcc\x81", NormalForm::nfc), "\xc3\xa9");
  EXPECT_EQ(normal_form("\xc3\xa9", NormalForm::nfd), "e\xcc\x81");
  EXPECT_EQ(normal_form("\xef\xac\x81", NormalForm::nfkc), "fi");
  EXPECT_EQ(normal_form("\xea\xb0\x81", NormalForm::nfd), "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8");  // Hangul
}

TEST(Regex, FindsInOrderAndSkipsEmptyMatches) {
  EXPECT_EQ(Regex("b*", "x").find_all("abbc"), (std::vector<TextRange>{{1, 3}}));
  EXPECT_EQ(Regex::literal("a.b", "x").find_all("a.baxb"), (std::vector<TextRange>{{0, 3}}));
  EXPECT_TRUE(Regex("x*", "x").find_all("\xc3\xa9").empty());
}

TEST(Regex, CatastrophicPatternsEnd) {
  EXPECT_THROW(Regex("(a|aa)+$", "x").find_all(std::string(5000, 'a') + "!"), Error);
}

TEST(LoadTokenizer, NamesWhatIsMissingOrBroken) {
  const TemporaryDirectory directory;
  const auto failure = [&] {
    try {
      load_tokenizer(directory.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(failure(), HasSubstr("neither tokenizer.json nor tokenizer.model"));
  directory.write("tokenizer.json", "{");
  EXPECT_THAT(failure(), HasSubstr("tokenizer.json is not valid JSON"));
  directory.write("tokenizer.model", "not a protobuf");
  EXPECT_THAT(failure(), HasSubstr("is not a SentencePiece model"));
}

// A token that the tokenizer's files call the end of a text ends an answer, if the model has it.
TEST(EndTokens, TokenizerConfigsNameThem) {
  const auto tokenizer = tiny_byte_tokenizer();
  const int32_t end = tokenizer->id_of("<|im_end|>").value();
  LanguageConfig language;
  language.vocabulary = tokenizer->vocabulary();
  language.eos_ids = {1};
  const auto ends_with = [&](const std::string& config, const std::string& map) {
    const TemporaryDirectory directory;
    if (!config.empty()) directory.write("tokenizer_config.json", config);
    if (!map.empty()) directory.write("special_tokens_map.json", map);
    LanguageConfig read = language;
    add_end_tokens(directory.path(), *tokenizer, read);
    return read.eos_ids;
  };
  const std::string text = R"({"eos_token":"<|im_end|>"})";
  const std::string object = R"({"eos_token":{"content":"<|im_end|>","special":true}})";
  const std::vector<int32_t> both{1, end};
  EXPECT_EQ(ends_with(text, ""), both);
  EXPECT_EQ(ends_with(object, ""), both);
  EXPECT_EQ(ends_with("", text), both);
  EXPECT_EQ(ends_with(text, object), both);
  EXPECT_EQ(ends_with(R"({"eos_token":null})", R"({"eos_token":5})"), language.eos_ids);
  EXPECT_EQ(ends_with(R"({"eos_token":"<|nobody knows it|>"})", ""), language.eos_ids);
  language.vocabulary = end;
  EXPECT_EQ(ends_with(text, ""), language.eos_ids);
}

TEST(TokenizerJson, SaysHowManyBytesOneIdCanStandFor) {
  const auto bound = [](boost::json::object json) {
    return make_tokenizer_json(boost::json::serialize(json), "tiny")->max_bytes_per_id();
  };
  const boost::json::object plain = tiny_byte_json();
  EXPECT_EQ(bound(plain), std::string("<|im_start|>").size());
  EXPECT_EQ(bound(tiny_fallback_json()), 6u) << "<0x00>";
  boost::json::object changed = plain;
  changed["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(bound(changed), 4 * bound(plain));
  changed["normalizer"] = {{"type", "Strip"}};
  EXPECT_EQ(bound(changed), 0u) << "drops any number of spaces";
  changed = plain;
  changed["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  EXPECT_EQ(bound(changed), 0u);
  changed = plain;
  changed["added_tokens"].as_array()[0].as_object()["rstrip"] = true;
  EXPECT_EQ(bound(changed), 0u);
  changed = plain;
  changed["model"].as_object()["vocab"].as_object().erase("x");
  EXPECT_EQ(bound(changed), 0u) << "has no id for every byte";
}

TEST(SentencePieceRules, TellModelsThatKeepTexts) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(read_sentencepiece_rules("\x1a\x02\x20\x00"sv).keeps_text());
  EXPECT_TRUE(read_sentencepiece_rules("\x0a\x01x\x1a\x04\x0a\x00\x20\x00"sv).keeps_text());
  EXPECT_FALSE(read_sentencepiece_rules("").keeps_text()) << "spaces are joined where nothing is said";
  EXPECT_FALSE(read_sentencepiece_rules("\x1a\x02\x20\x01"sv).keeps_text());
  EXPECT_FALSE(read_sentencepiece_rules("\x1a\x05\x12\x01m\x20\x00"sv).keeps_text()) << "has a map";
  for (const std::string_view broken : {"\x1a"sv, "\x1a\xff"sv, "\x1a\x02\x20"sv, "\xff\xff\xff"sv, "\x1b"sv})
    EXPECT_FALSE(read_sentencepiece_rules(broken).keeps_text());
  // A field of another type than its own is none; what follows a group is not read, so nothing is known then.
  EXPECT_FALSE(read_sentencepiece_rules("\x1a\x02\x22\x00"sv).keeps_text());
  EXPECT_FALSE(read_sentencepiece_rules("\x1a\x07\x12\x01m\x10\x00\x20\x00"sv).keeps_text());
  EXPECT_FALSE(read_sentencepiece_rules("\x1a\x02\x20\x00\x33\x34"sv).keeps_text());
}

}  // namespace
}  // namespace uhd
