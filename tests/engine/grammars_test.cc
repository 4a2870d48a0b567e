#include "engine/leader/grammars.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "base/error.h"
#include "tests/engine/fake_grammar.h"
#include "tests/model/tiny_tokenizer.h"

namespace uhd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Compiles any text but "bad" to a grammar of 10 bytes, and notes what it was asked.
class NotingCompiler final : public GrammarCompiler {
 public:
  NotingCompiler(std::vector<std::string>& asked, std::function<void()> during)
      : asked_(asked), during_(std::move(during)) {}
  std::shared_ptr<const Grammar> compile(const GrammarSpec& spec, double) const override {
    asked_.push_back(spec.text);
    if (during_) during_();
    if (spec.text == "bad") throw GrammarError("it is bad");
    return std::make_shared<FakeGrammar>(std::vector<int32_t>{1}, 2, 10, 9);
  }

 private:
  std::vector<std::string>& asked_;
  std::function<void()> during_;
};

struct Bench {
  explicit Bench(int64_t cache_bytes = 1000, const std::function<void()>& during = {})
      : grammars(tiny_byte_tokenizer(), 310, {301}, {1, cache_bytes}, [this, during](GrammarVocabulary v) {
          vocabulary = std::move(v);
          return std::make_unique<NotingCompiler>(asked, during);
        }) {}
  std::optional<Failure> compile(const std::string& text, const std::string& salt = "") {
    auto [result, took] = grammars.compile({GrammarKind::regex, text}, salt, salt);
    seconds_compiled = seconds_compiled + took;
    if (auto* failure = std::get_if<Failure>(&result)) return *failure;
    EXPECT_NE(std::get<0>(result), nullptr);
    return std::nullopt;
  }
  bool waits(const std::string& text, const std::string& salt = "") {
    return grammars.check_turn({GrammarKind::regex, text}, salt, salt).has_value();
  }
  std::vector<std::string> asked;
  std::atomic<double> seconds_compiled = 0;
  GrammarVocabulary vocabulary;
  Grammars grammars;
};

TEST(Grammars, AreCompiledOnceForEachClient) {
  Bench bench;
  for (const char* salt : {"a", "a", "b", "a"}) EXPECT_FALSE(bench.compile("x", salt));
  EXPECT_THAT(bench.asked, ElementsAre("x", "x"));
  EXPECT_FALSE(
      std::holds_alternative<Failure>(bench.grammars.compile({GrammarKind::ebnf, "x"}, "a", "a").result));
  EXPECT_EQ(bench.asked.size(), 3u) << "the kind is a part of the name";
}

TEST(Grammars, TheLongestUnusedGoesFirst) {
  Bench bench(20);  // two of 10 bytes
  for (const char* text : {"a", "b", "a", "c", "a", "b"}) EXPECT_FALSE(bench.compile(text));
  EXPECT_THAT(bench.asked, ElementsAre("a", "b", "c", "b"));
}

TEST(Grammars, OneThatDoesNotFitIsUsedAllTheSame) {
  Bench bench(5);
  EXPECT_FALSE(bench.compile("a"));
  EXPECT_FALSE(bench.compile("a"));
  EXPECT_EQ(bench.asked.size(), 2u);
}

TEST(Grammars, OneThatDoesNotFitDrivesOutNoOther) {
  Bench bench(15);
  EXPECT_FALSE(bench.compile("a"));
  EXPECT_FALSE(bench.compile("a long one"));
  EXPECT_FALSE(bench.compile("a"));
  EXPECT_THAT(bench.asked, ElementsAre("a", "a long one"));
}

TEST(Grammars, TheVocabularyHasTheBytesOfOrdinaryTokens) {
  Bench bench;
  EXPECT_FALSE(bench.compile("a"));
  EXPECT_EQ(bench.vocabulary.tokens.size(), 310u) << "the model's, not the tokenizer's";
  EXPECT_EQ(bench.vocabulary.tokens[257], "hel");
  EXPECT_EQ(bench.vocabulary.tokens[10], "\n");
  EXPECT_EQ(bench.vocabulary.tokens[303], "<tool>") << "an added token that is not special";
  for (const size_t special : {300, 301, 302, 309})
    EXPECT_EQ(bench.vocabulary.tokens[special], "") << special;
  EXPECT_THAT(bench.vocabulary.end_ids, ElementsAre(301));
}

TEST(Grammars, AWrongOneIsTheClientsFault) {
  Bench bench;
  for (int i = 0; i < 2; ++i) {
    const auto failure = bench.compile("bad");
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->kind, FailureKind::invalid);
    EXPECT_EQ(failure->code, "invalid_grammar");
    EXPECT_THAT(failure->message, HasSubstr("it is bad"));
  }
  EXPECT_THAT(bench.asked, ElementsAre("bad")) << "a second time costs nothing";
  EXPECT_TRUE(bench.compile("bad", "other"));
  EXPECT_THAT(bench.asked, ElementsAre("bad", "bad"));
}

TEST(Grammars, WithoutThePluginTheySayHowToGetIt) {
  Grammars grammars(
      tiny_byte_tokenizer(), 310, {301}, {},
      [](GrammarVocabulary) -> std::unique_ptr<GrammarCompiler> { throw Error("run scripts/grammar"); });
  const auto result = grammars.compile({}, "", "").result;
  EXPECT_EQ(std::get<Failure>(result).code, "not_implemented");
  EXPECT_THAT(std::get<Failure>(result).message, HasSubstr("scripts/grammar"));
  Grammars endless(tiny_byte_tokenizer(), 310, {}, {});
  EXPECT_EQ(std::get<Failure>(endless.compile({}, "", "").result).code, "not_implemented");
}

// The first grammar is compiled for as long as a test wants.
struct SlowBench {
  std::promise<void> begun, go;
  bool first = true;
  Bench bench{1000, [this] {
                if (!std::exchange(first, false)) return;
                begun.set_value();
                go.get_future().wait();
              }};
  std::future<std::optional<Failure>> slow =
      std::async(std::launch::async, [this] { return bench.compile("slow", "greedy"); });
  SlowBench() { begun.get_future().wait(); }
  void end() {
    go.set_value();
    EXPECT_FALSE(slow.get());
  }
};

void expect_waits(const std::optional<Failure>& failure, const std::string& why = "") {
  ASSERT_TRUE(failure) << why;
  EXPECT_EQ(failure->code, "grammar_busy") << why;
  EXPECT_GT(failure->again_s, 0) << why;
  EXPECT_GT(failure->retry_after_s, 0) << why;
}

TEST(Grammars, OneIsCompiledAtATime) {
  SlowBench b;
  expect_waits(b.bench.compile("other", "greedy"), "of the same client");
  expect_waits(b.bench.compile("a third"));
  EXPECT_TRUE(b.bench.waits("a third"));
  b.end();
  EXPECT_FALSE(b.bench.waits("a third"));
  EXPECT_TRUE(b.bench.waits("other", "greedy"));
  EXPECT_FALSE(b.bench.waits("slow", "greedy")) << "what is known needs no turn";
  EXPECT_THAT(b.bench.asked, ElementsAre("slow")) << "to ask for a turn compiles nothing";
}

TEST(Grammars, AClientThatCompilesAllTheTimeLeavesOthersTheirTurn) {
  SlowBench b;
  expect_waits(b.bench.compile("slow too", "greedy"));
  expect_waits(b.bench.compile("quick", "other"));
  b.end();
  expect_waits(b.bench.compile("slow too", "greedy"), "the other comes back");
  EXPECT_FALSE(b.bench.compile("slow", "greedy")) << "what is known needs no turn";
  EXPECT_FALSE(b.bench.compile("quick", "other"));
  EXPECT_FALSE(b.bench.compile("slow too", "greedy"));
  EXPECT_THAT(b.bench.asked, ElementsAre("slow", "quick", "slow too"));
}

TEST(Grammars, ThoseWhoWaitedForTheSameGrammarHaveIt) {
  SlowBench b;
  EXPECT_TRUE(b.bench.waits("slow", "greedy"));
  b.end();
  EXPECT_FALSE(b.bench.waits("slow", "greedy"));
  EXPECT_FALSE(b.bench.compile("slow", "greedy"));
  EXPECT_THAT(b.bench.asked, ElementsAre("slow"));
}

TEST(Grammars, TellHowLongTheyWereCompiled) {
  Bench bench(1000, [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
  EXPECT_TRUE(bench.compile("bad"));
  const double refused = bench.seconds_compiled;
  EXPECT_GE(refused, 0.002) << "refusals included";
  EXPECT_TRUE(bench.compile("bad"));
  EXPECT_EQ(bench.seconds_compiled, refused) << "it was known";
  EXPECT_FALSE(bench.compile("good"));
  EXPECT_GE(bench.seconds_compiled, refused + 0.002);
}

}  // namespace
}  // namespace uhd
