// XGrammar behind our seam: what each kind of grammar takes, for every kind of tokenizer, and what becomes of
// hostile ones.
#include "model/text/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "engine/leader/grammars.h"
#include "tests/model/tiny_tokenizer.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kEnd = 301;
constexpr int kIds = 310;

// Follows a text, token by token; `whole` says whether it can end there.
struct Follower {
  Follower(const Grammar& grammar, const Tokenizer& tokenizer, int32_t end)
      : matcher(grammar.matcher()),
        tokenizer_(tokenizer),
        end_(end),
        mask_(mask_words(grammar.vocabulary())) {}

  // The mask and the matcher agree on every token.
  bool take(std::string_view text) {
    for (const char c : text) {
      const int32_t id = token_of(c);
      matcher->next(mask_);
      const bool may = in_mask(mask_, static_cast<size_t>(id));
      EXPECT_EQ(matcher->accept(id), may) << text << " at " << c;
      if (!may) return false;
    }
    return true;
  }
  bool whole() {
    matcher->next(mask_);
    return in_mask(mask_, static_cast<size_t>(end_));
  }
  std::span<const int32_t> mask() {
    matcher->next(mask_);
    return mask_;
  }
  std::unique_ptr<GrammarMatcher> matcher;

 private:
  int32_t token_of(char c) const {
    for (int32_t id = 0; id < tokenizer_.vocabulary(); ++id) {
      if (tokenizer_.bytes_of_token(id) == std::string(1, c) && !tokenizer_.is_special(id)) return id;
    }
    ADD_FAILURE() << "no token is " << c;
    return 0;
  }

  const Tokenizer& tokenizer_;
  int32_t end_;
  std::vector<int32_t> mask_;
};

class GrammarOf : public ::testing::Test {
 protected:
  static const GrammarCompiler& compiler() {
    static const auto made = make_grammar_compiler(grammar_vocabulary(*tiny_byte_tokenizer(), kIds, {kEnd}));
    return *made;
  }
  static bool matches(GrammarKind kind, const std::string& grammar, const std::string& text) {
    const auto tokenizer = tiny_byte_tokenizer();
    Follower follower(*compiler().compile({kind, grammar}, 5), *tokenizer, kEnd);
    return follower.take(text) && follower.whole();
  }
  static std::string refusal(GrammarKind kind, const std::string& grammar, double seconds = 2) {
    try {
      compiler().compile({kind, grammar}, seconds);
      return "";
    } catch (const GrammarError& e) {
      return e.what();
    }
  }
};

// Returns whether an answer of so many tokens goes on to its end, and how long its slowest one took.
std::pair<bool, double> followed(const Grammar& grammar, int tokens) {
  const auto tokenizer = tiny_byte_tokenizer();
  Follower follower(grammar, *tokenizer, kEnd);
  double slowest = 0;
  for (int i = 0; i < tokens; ++i) {
    const TimePoint begun = Clock::now();
    try {
      if (!follower.take("a")) return {false, slowest};
    } catch (const std::exception&) {
      return {false, std::max(slowest, seconds(Clock::now() - begun))};
    }
    slowest = std::max(slowest, seconds(Clock::now() - begun));
  }
  return {true, slowest};
}

TEST_F(GrammarOf, JsonSchema) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},"required":["a","b"]})";
  EXPECT_TRUE(matches(GrammarKind::json_schema, schema, R"({"a": 12, "b": "x"})"));
  EXPECT_TRUE(matches(GrammarKind::json_schema, schema, "{\n  \"a\":-1,\"b\":\"y\"}"));
  for (const char* text : {R"({"a": 1.5, "b": "x"})", R"({"a": 1})", R"({"a": 1, "b": "z"})", "[]",
                           R"({"a": 1, "b": "x", "c": 1})"}) {
    EXPECT_FALSE(matches(GrammarKind::json_schema, schema, text)) << text;
  }
}

TEST_F(GrammarOf, JsonObject) {
  EXPECT_TRUE(matches(GrammarKind::json_object, "", R"({"a": [1, {"b": null}], "c": "d"})"));
  EXPECT_TRUE(matches(GrammarKind::json_object, "", "{}"));
  for (const char* text : {"[1]", "1", "\"a\"", "{\"a\"}"}) {
    EXPECT_FALSE(matches(GrammarKind::json_object, "", text)) << text;
  }
}

TEST_F(GrammarOf, WhiteSpaceHasAnEnd) {
  EXPECT_TRUE(matches(GrammarKind::json_object, "", '{' + std::string(20, ' ') + '}'));
  EXPECT_FALSE(matches(GrammarKind::json_object, "", '{' + std::string(200, ' ') + '}'));
}

TEST_F(GrammarOf, NumbersHaveAnEnd) {
  const auto takes = [](const std::string& schema, const std::string& text) {
    return matches(GrammarKind::json_schema, schema, text);
  };
  const std::string digits(20, '9');
  const std::string whole = R"({"type":"integer"})", number = R"({"type":"number"})";
  for (const char* text : {"0", "-7", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_TRUE(takes(whole, text)) << text;
    EXPECT_TRUE(takes(number, text)) << text;
  }
  for (const char* text : {"0.5", "-12.3456789012345678", "1e10", "1.7976E+99", "2E-7"})
    EXPECT_TRUE(takes(number, text)) << text;
  for (const std::string& text : {digits, '-' + digits}) EXPECT_FALSE(takes(whole, text));
  for (const std::string& text : {digits, "0." + digits, std::string("1e100")})
    EXPECT_FALSE(takes(number, text)) << text;
  const struct {
    const char* schema;
    std::string good, bad;
  } cases[] = {
      {R"({"type":"integer","minimum":0})", "9223372036854775807", digits},
      {R"({"type":"integer","minimum":12})", "9223372036854775807", digits},
      {R"({"type":"integer","maximum":-3})", "-9223372036854775808", '-' + digits},
      {R"({"type":"integer","maximum":3})", "-9223372036854775808", '-' + digits},
      {R"({"type":"integer","minimum":9223372036854775807})", "9223372036854775807", "9223372036854775806"},
      {R"({"type":"number","minimum":0.5})", "123456789.25", digits},
      {R"({"type":["integer","null"]})", "9223372036854775807", digits},
      {R"({"type":"array","items":{"$ref":"#/$defs/n"},"$defs":{"n":{"type":"integer"}}})", "[1, 22]",
       '[' + digits},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(takes(c.schema, c.good)) << c.schema;
    EXPECT_FALSE(takes(c.schema, c.bad)) << c.schema;
  }
}

TEST_F(GrammarOf, Regex) {
  EXPECT_TRUE(matches(GrammarKind::regex, "[0-9]{2,3}(a|b)?", "123b"));
  for (const char* text : {"1", "1234", "12c"})
    EXPECT_FALSE(matches(GrammarKind::regex, "[0-9]{2,3}(a|b)?", text));
}

TEST_F(GrammarOf, Ebnf) {
  const std::string sums = "root ::= number (\" + \" number)*\nnumber ::= [0-9]+";
  EXPECT_TRUE(matches(GrammarKind::ebnf, sums, "1 + 22 + 3"));
  EXPECT_FALSE(matches(GrammarKind::ebnf, sums, "1 + "));
}

TEST_F(GrammarOf, Choice) {
  const std::string choice =
      R"({"type":"structural_tag","format":{"type":"or","elements":[{"type":"const_string","value":"a\"\n"},)"
      R"({"type":"const_string","value":"ab"},{"type":"const_string","value":"abc"}]}})";
  for (const char* text : {"a\"\n", "ab", "abc"})
    EXPECT_TRUE(matches(GrammarKind::structural_tag, choice, text)) << text;
  for (const char* text : {"a", "abcd", "b"})
    EXPECT_FALSE(matches(GrammarKind::structural_tag, choice, text)) << text;
}

TEST_F(GrammarOf, TokensOfManyBytesAndSpecialOnes) {
  const auto tokenizer = tiny_byte_tokenizer();
  Follower follower(*compiler().compile({GrammarKind::regex, "hello|he<|im_end|>|<tool>"}, 5), *tokenizer,
                    kEnd);
  const auto mask = follower.mask();
  for (const size_t id : {size_t{'h'}, size_t{256}, size_t{257}, size_t{303}})
    EXPECT_TRUE(in_mask(mask, id)) << id;
  for (const size_t id : {size_t{300}, size_t{301}, size_t{302}, size_t{305}})
    EXPECT_FALSE(in_mask(mask, id)) << id;
}

TEST_F(GrammarOf, AnEndedMatcherTakesNothing) {
  const auto tokenizer = tiny_byte_tokenizer();
  Follower follower(*compiler().compile({GrammarKind::regex, "a"}, 5), *tokenizer, kEnd);
  EXPECT_TRUE(follower.take("a"));
  EXPECT_FALSE(follower.matcher->ended());
  EXPECT_TRUE(follower.matcher->accept(kEnd));
  EXPECT_TRUE(follower.matcher->ended());
  EXPECT_FALSE(follower.matcher->accept('a'));
}

TEST_F(GrammarOf, ByteFallback) {
  const auto tokenizer = tiny_fallback_tokenizer();
  const int32_t end = 1;
  const auto fallback = make_grammar_compiler(grammar_vocabulary(*tokenizer, tokenizer->vocabulary(), {end}));
  const auto grammar = fallback->compile({GrammarKind::regex, "a \xc3\xa9"}, 5);
  const std::unique_ptr<GrammarMatcher> matcher = grammar->matcher();
  std::vector<int32_t> mask(mask_words(grammar->vocabulary()));
  for (const char* token : {"a", "\xe2\x96\x81", "<0xC3>", "<0xA9>"}) {
    const auto id = tokenizer->id_of(token);
    ASSERT_TRUE(id) << token;
    matcher->next(mask);
    EXPECT_TRUE(in_mask(mask, static_cast<size_t>(*id))) << token;
    EXPECT_FALSE(in_mask(mask, 0)) << "<unk>";
    EXPECT_TRUE(matcher->accept(*id)) << token;
  }
  EXPECT_TRUE(matcher->accept(end));
}

// A vocabulary of 49,152 tokens.
TEST_F(GrammarOf, AWholeVocabulary) {
  const std::string path = "tests/goldens/tokenizers/smollm2_tokenizer.json";
  const auto tokenizer = make_tokenizer_json(read_text_file(path), path);
  const std::vector<int32_t> end{tokenizer->id_of("<|im_end|>").value()};
  const auto whole = make_grammar_compiler(grammar_vocabulary(*tokenizer, tokenizer->vocabulary(), end));
  const auto grammar =
      whole->compile({GrammarKind::json_schema,
                      R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]})"},
                     5);
  const std::unique_ptr<GrammarMatcher> matcher = grammar->matcher();
  std::vector<int32_t> mask(mask_words(grammar->vocabulary()));
  double slowest = 0;
  for (const int32_t id :
       tokenizer->encode("{\"name\": \"Ann Lee of caf\u00e9 \\u00e9 \\\"x\\\"\"}", false, false)) {
    const TimePoint begun = Clock::now();
    matcher->next(mask);
    slowest = std::max(slowest, seconds(Clock::now() - begun));
    ASSERT_TRUE(in_mask(mask, static_cast<size_t>(id))) << tokenizer->bytes_of_token(id);
    ASSERT_TRUE(matcher->accept(id));
  }
  matcher->next(mask);
  EXPECT_TRUE(in_mask(mask, static_cast<size_t>(end[0])));
  EXPECT_LT(slowest, 0.05);
}

TEST_F(GrammarOf, WrongOnesAreRefusedInWords) {
  EXPECT_NE(refusal(GrammarKind::regex, "(a"), "");
  EXPECT_NE(refusal(GrammarKind::ebnf, "root ::= missing"), "");
  EXPECT_NE(refusal(GrammarKind::ebnf, "rule ::= \"a\""), "");
  EXPECT_NE(refusal(GrammarKind::json_schema, R"({"type":"nonsense"})"), "");
  EXPECT_NE(refusal(GrammarKind::json_schema, R"({"$ref":"#/$defs/none"})"), "");
  EXPECT_NE(refusal(GrammarKind::structural_tag, "{}"), "");
  EXPECT_THAT(refusal(GrammarKind::json_schema, R"({"type":"nonsense"})"), Not(HasSubstr(".cc")));
}

// XGrammar would leave these parts out with a warning.
TEST_F(GrammarOf, OnesThatWouldBeHonouredInPartAreRefused) {
  EXPECT_THAT(refusal(GrammarKind::json_schema, R"({"type":"number","multipleOf":0.5})"),
              HasSubstr("multipleOf"));
  EXPECT_NE(refusal(GrammarKind::json_schema, R"({"$ref":"https://example.com/schema"})"), "");
  EXPECT_THAT(refusal(GrammarKind::json_schema, R"({"type":"string","pattern":"a+","maxLength":3})"),
              HasSubstr("pattern"));
  EXPECT_THAT(refusal(GrammarKind::regex, "a(?=b)b"), HasSubstr("ookahead"));
  EXPECT_EQ(refusal(GrammarKind::regex, "^ab$"), "");
}

TEST_F(GrammarOf, OnesWithoutAnyTextAreRefused) {
  for (const char* schema :
       {R"({"$ref":"#"})",
        R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})"}) {
    EXPECT_NE(refusal(GrammarKind::json_schema, schema), "") << schema;
  }
  EXPECT_NE(refusal(GrammarKind::ebnf, "root ::= root"), "");
  EXPECT_EQ(refusal(GrammarKind::json_schema, R"({"type":"object","properties":{"next":{"$ref":"#"}}})"), "");
}

// An answer may be long, and its grammar ambiguous: no token may hold up the others of the batch.
TEST_F(GrammarOf, LongAnswersStayQuick) {
  for (const char* rule : {"root ::= root root | \"a\"", "root ::= (\"a\"* \"a\"*)*"}) {
    const auto grammar = compiler().compile({GrammarKind::ebnf, rule}, 2);
    EXPECT_TRUE(followed(*grammar, 50).first);
    EXPECT_LT(followed(*grammar, 300).second, 0.5) << rule;
  }
}

// Each byte adds as many states as there were bytes.
TEST_F(GrammarOf, AnAnswerHasAMostOfStates) {
  const auto grammar = compiler().compile({GrammarKind::ebnf, "root ::= \"a\" root \"a\" | \"a\""}, 5);
  EXPECT_TRUE(followed(*grammar, 200).first);
  const auto [ended, slowest] = followed(*grammar, 4000);
  EXPECT_FALSE(ended) << "the answer would take any memory";
  EXPECT_LT(slowest, 0.5);
}

// Every rule leads to every other one.
TEST_F(GrammarOf, AMaskHasAMostOfSteps) {
  constexpr int kRules = 700;
  std::string rules = "root ::= r0\n";
  for (int i = 0; i < kRules; ++i) {
    rules += message('r', i, " ::= r", (i * 7 + 1) % kRules, " r", (i * 13 + 5) % kRules, " | \"a\"\n");
  }
  const TimePoint begun = Clock::now();
  try {
    const auto grammar = compiler().compile({GrammarKind::ebnf, rules}, 5);
    const auto [ended, slowest] = followed(*grammar, 20);
    EXPECT_LT(slowest, 0.5);
  } catch (const std::exception& e) {
    EXPECT_THAT(e.what(), HasSubstr("too")) << e.what();
  }
  EXPECT_LT(seconds(Clock::now() - begun), 30);
}

// The answer comes in time whatever they take, and this process goes on.
TEST_F(GrammarOf, HostileOnesEndInTime) {
  std::string deep_schema = "true", deep_group(20'000, '('), wide = "root ::= ";
  for (int i = 0; i < 2000; ++i) deep_schema = R"({"type":"array","items":)" + deep_schema + "}";
  deep_group += "a" + std::string(20'000, ')');
  for (int i = 0; i < 3000; ++i) wide += "root root | ";
  wide += "\"a\"";
  const std::pair<GrammarKind, std::string> hostile[] = {
      {GrammarKind::json_schema, deep_schema},
      {GrammarKind::json_schema, R"({"$ref":"#"})"},
      {GrammarKind::json_schema,
       R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})"},
      {GrammarKind::json_schema, R"({"type":"string","minLength":1000000000})"},
      {GrammarKind::json_schema,
       R"({"type":"array","items":{"type":"array","minItems":99999},"minItems":99999})"},
      {GrammarKind::regex, "(((((a{1,99}){1,99}){1,99}){1,99}){1,99})"},
      {GrammarKind::regex, "((a+)+)+$"},
      {GrammarKind::regex, deep_group},
      {GrammarKind::ebnf, deep_group},
      {GrammarKind::ebnf, wide},
      {GrammarKind::ebnf, "root ::= root"},
      {GrammarKind::ebnf, "root ::= a{1000000000}\na ::= [a-z]"},
  };
  for (const auto& [kind, grammar] : hostile) {
    const TimePoint begun = Clock::now();
    const std::string said = refusal(kind, grammar, 1);
    EXPECT_LT(seconds(Clock::now() - begun), 10) << grammar.substr(0, 60);
    EXPECT_EQ(said.find('\n'), std::string::npos);
    if (said.empty()) {  // it was compiled: then it must be quick to follow
      const auto tokenizer = tiny_byte_tokenizer();
      Follower follower(*compiler().compile({kind, grammar}, 1), *tokenizer, kEnd);
      follower.mask();
      EXPECT_LT(seconds(Clock::now() - begun), 12);
    }
  }
}

}  // namespace
}  // namespace uhd
