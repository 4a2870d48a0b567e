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

TEST(Grammars, OneIsCompiledAtATime) {
  std::promise<void> begun, go;
  Bench bench(1000, [&] {
    begun.set_value();
    go.get_future().wait();
  });
  auto first = std::async(std::launch::async, [&] { return bench.compile("slow"); });
  begun.get_future().wait();
  const auto failure = bench.compile("other");  // of the same client
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, "grammar_busy");
  EXPECT_GT(failure->retry_after_s, 0);
  const TimePoint asked = Clock::now();
  EXPECT_EQ(bench.compile("a third")->code, "grammar_busy");
  EXPECT_LT(seconds(Clock::now() - asked), 0.1) << "behind a slow one nobody waits";
  go.set_value();
  EXPECT_FALSE(first.get());
}

TEST(Grammars, AClientThatCompilesAllTheTimeLeavesOthersTheirTurn) {
  std::promise<void> begun, go;
  bool first = true;
  Bench bench(1000, [&] {
    if (!std::exchange(first, false)) return;
    begun.set_value();
    go.get_future().wait();
  });
  auto slow = std::async(std::launch::async, [&] { return bench.compile("slow", "greedy"); });
  begun.get_future().wait();
  EXPECT_EQ(bench.compile("slow too", "greedy")->code, "grammar_busy");
  EXPECT_EQ(bench.compile("quick", "other")->code, "grammar_busy") << "for as long as one may be compiled";
  go.set_value();
  EXPECT_FALSE(slow.get());
  EXPECT_EQ(bench.compile("slow too", "greedy")->code, "grammar_busy") << "the other comes back";
  EXPECT_FALSE(bench.compile("slow", "greedy")) << "what is known needs no turn";
  EXPECT_FALSE(bench.compile("quick", "other"));
  EXPECT_FALSE(bench.compile("slow too", "greedy"));
  EXPECT_THAT(bench.asked, ElementsAre("slow", "quick", "slow too"));
}

TEST(Grammars, TheNextClientWaitsForItsTurn) {
  std::promise<void> begun, go;
  bool first = true;
  Bench bench(1000, [&] {
    if (!std::exchange(first, false)) return;
    begun.set_value();
    go.get_future().wait();
  });
  auto slow = std::async(std::launch::async, [&] { return bench.compile("slow", "greedy"); });
  begun.get_future().wait();
  EXPECT_EQ(bench.compile("slow too", "greedy")->code, "grammar_busy");  // it takes long now
  auto next = std::async(std::launch::async, [&] { return bench.compile("quick", "other"); });
  EXPECT_EQ(next.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  go.set_value();
  EXPECT_FALSE(slow.get());
  EXPECT_FALSE(next.get());
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
