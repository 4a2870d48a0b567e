// An answer that follows a grammar: its masks, its end, and where thoughts go before it.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <thread>

#include "engine/leader/answer.h"
#include "tests/engine/fake_grammar.h"
#include "tests/model/tiny_tokenizer.h"

namespace uhd {
namespace {

constexpr int32_t kEnd = 301;
constexpr int32_t kThoughtsEnd = 303;

AnswerRules hex_rules() {
  AnswerRules rules;
  rules.grammar = std::make_shared<FakeGrammar>(std::vector<int32_t>{'4', '2'}, kEnd, 310);
  rules.stop_ids = {kEnd};
  rules.max_tokens = 100;
  return rules;
}

Answer answer_of(const AnswerRules& rules) {
  return {1, std::make_shared<AnswerRules>(rules), tiny_byte_tokenizer()};
}

// Draws the next token as the engine does: from logits that want 'x', then the end.
SampledToken draw(Answer& answer, const Sequence& sequence) {
  std::vector<float> logits(310, 0.0f);
  logits['x'] = 10;
  logits[kEnd] = 5;
  SampleRow row = answer.sample_row(sequence);
  row.mask = answer.next_mask();
  return sample_row(logits, row);
}

TEST(AnswerGrammar, TheMaskGoesBeforeTheModel) {
  Answer answer = answer_of(hex_rules());
  Sequence sequence;
  std::string text;
  for (int i = 0; i < 10 && answer.finish() == FinishReason::none; ++i) {
    EXPECT_TRUE(answer.sample_row(sequence).masked);
    EXPECT_EQ(draw(answer, sequence).id, draw(answer, sequence).id) << "a step may be planned again";
    answer.push(draw(answer, sequence), Clock::now());
    text += answer.take().text;
  }
  EXPECT_EQ(text, "42");
  EXPECT_EQ(answer.finish(), FinishReason::stop);
}

TEST(AnswerGrammar, EndsThoughTheModelsEndIsIgnoredOrBanned) {
  AnswerRules rules = hex_rules();
  rules.stop_ids = {};  // ignore_eos
  Answer ignores = answer_of(rules);
  rules = hex_rules();
  rules.stop.min_tokens = 50;
  Answer longer = answer_of(rules);
  for (Answer* answer : {&ignores, &longer}) {
    Sequence sequence;
    for (int i = 0; i < 3; ++i) answer->push(draw(*answer, sequence), Clock::now());
    EXPECT_EQ(answer->finish(), FinishReason::stop);
    EXPECT_EQ(answer->tokens(), 3);
  }
}

TEST(AnswerGrammar, GoesBeforeOtherRulesForTokens) {
  AnswerRules rules = hex_rules();
  rules.tokens = TokenRules{{'y', 'z'}, {}};
  rules.sampling.logit_bias = {{'4', -100.0f}};
  Answer answer = answer_of(rules);
  EXPECT_EQ(draw(answer, Sequence()).id, '4');
}

TEST(AnswerGrammar, BeginsBehindThoughts) {
  AnswerRules rules = hex_rules();
  rules.thoughts_end = kThoughtsEnd;
  Answer answer = answer_of(rules);
  Sequence sequence;
  EXPECT_EQ(draw(answer, sequence).id, 'x');
  EXPECT_TRUE(answer.sample_row(sequence).masked) << "the end of the thoughts may be under way";
  EXPECT_TRUE(answer.next_mask().empty());
  answer.push({.id = 'x'}, Clock::now());
  answer.push({.id = kThoughtsEnd}, Clock::now());
  EXPECT_EQ(draw(answer, sequence).id, '4');
}

TEST(AnswerGrammar, ATokenOutsideOfItIsAnError) {
  Answer answer = answer_of(hex_rules());
  answer.push({.id = 'x'}, Clock::now());
  EXPECT_EQ(answer.finish(), FinishReason::error);
  EXPECT_EQ(answer.failure()->code, "grammar_failed");
}

// No token continues a run of an id beyond the vocabulary.
TEST(AnswerGrammar, ThatNoTokenContinuesIsAnErrorOfItsOwn) {
  AnswerRules rules = hex_rules();
  rules.grammar = std::make_shared<FakeGrammar>(std::vector<int32_t>{'4', FakeGrammar::kNone}, kEnd, 310);
  Answer answer = answer_of(rules);
  answer.push(draw(answer, Sequence()), Clock::now());
  EXPECT_TRUE(answer.next_mask().empty());
  answer.push(draw(answer, Sequence()), Clock::now());
  EXPECT_EQ(answer.failure()->code, "grammar_failed");
}

// A grammar whose tokens take a while: asleep, or at work.
class SlowGrammar final : public Grammar {
 public:
  explicit SlowGrammar(bool works) : works_(works) {}
  std::unique_ptr<GrammarMatcher> matcher() const override { return std::make_unique<Slow>(works_); }
  size_t vocabulary() const override { return 310; }
  size_t bytes() const override { return 1; }

 private:
  struct Slow final : GrammarMatcher {
    explicit Slow(bool works) : works_(works) {}
    void next(std::span<int32_t>) override {
      constexpr auto kLong = std::chrono::milliseconds(300);
      if (!works_) return std::this_thread::sleep_for(kLong);
      const std::clock_t begun = std::clock();
      while (std::clock() - begun < CLOCKS_PER_SEC * 3 / 10) {
      }
    }
    bool accept(int32_t) override { return true; }
    bool ended() const override { return false; }
    const bool works_;
  };
  const bool works_;
};

TEST(AnswerGrammar, ALeaderThatWasNotRunIsNoFaultOfTheAnswer) {
  AnswerRules rules = hex_rules();
  rules.grammar = std::make_shared<SlowGrammar>(false);
  Answer waits = answer_of(rules);
  EXPECT_NO_THROW(waits.next_mask());
  rules.grammar = std::make_shared<SlowGrammar>(true);
  Answer works = answer_of(rules);
  EXPECT_ANY_THROW(works.next_mask());
}

}  // namespace
}  // namespace uhd
