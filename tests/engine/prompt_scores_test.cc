// Log-probabilities of a prompt's tokens: those that the same tokens had when they were an answer.
#include <gtest/gtest.h>

#include <future>
#include <numeric>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

GoldenCase subject() { return golden_case("uhd-v1-tiny/golden_image_2slices"); }

EngineOptions engine_options() {
  EngineOptions options = tiny_options(subject().model);
  options.page_size = 16;
  return options;
}

Request text_request(int tokens) {
  Request request;
  for (int i = 0; i < tokens; ++i) request.prompt_ids.push_back(5 + i * 17 % 900);
  request.sampling.temperature = 0;
  request.stop.max_tokens = 1;
  request.stop.ignore_eos = true;
  return request;
}

// The answer is put behind its prompt: steps of prompts compute what steps that decode computed.
TEST(PromptScores, AreThoseOfTheSameTokensAsAnAnswer) {
  for (const int ranks_of_it : {1, 2}) {
    const auto engine = make_engine(engine_options(), ranks(ranks_of_it, 0));
    Request asked = text_request(30);
    asked.stop.max_tokens = 40;
    asked.sampling.logprobs = 3;
    const Submitted first = submit(*engine, asked);
    const std::vector<int32_t> answer = first.answer->wait().ids;
    ASSERT_EQ(answer.size(), 40u);
    Request again = text_request(30);
    again.prompt_ids.insert(again.prompt_ids.end(), answer.begin(), answer.end());
    again.prompt_logprobs = 3;
    const Submitted scored = submit(*engine, again);
    const std::vector<PromptToken>& prompt = scored.answer->wait().prompt;
    ASSERT_EQ(prompt.size(), 70u);
    EXPECT_EQ(scored.answer->usage.cached_tokens, 0);
    EXPECT_FALSE(prompt[0].scored);
    for (size_t i = 0; i < 70; ++i) EXPECT_EQ(prompt[i].id, again.prompt_ids[i]);
    for (size_t i = 0; i < answer.size(); ++i) {
      const PromptToken& token = prompt[30 + i];
      const TokenLogprob& wanted = first.answer->logprobs[i];
      EXPECT_TRUE(token.scored);
      EXPECT_EQ(token.rank, 1) << "greedy";
      EXPECT_EQ(token.bytes, wanted.bytes);
      // The same sums on the CPU, to the last bit.
      EXPECT_EQ(token.logprob, wanted.logprob);
      ASSERT_EQ(token.top.size(), 3u);
      for (size_t k = 0; k < 3; ++k) EXPECT_EQ(token.top[k].logprob, wanted.top[k].second);
    }
  }
}

// Others take its pages, it takes nobody's; and its other answers hear nothing before it is scored.
TEST(PromptScores, ThePrefixCacheSkipsNoRowAndGetsAllOfThem) {
  const auto engine = make_engine(engine_options(), ranks(1, 0));
  const Request plain = text_request(64);
  submit(*engine, plain).answer->wait();
  Request scored = plain;
  scored.prompt_logprobs = 0;
  scored.n = 3;
  std::vector<int> order;  // the answer of each event with tokens; -1: of the prompt
  const auto events = std::make_shared<AnswerListener>();
  const auto accepted =
      engine->submit(Request(scored), [&order, inner = events->sink(), left = 3](TokenEvent&& event) mutable {
        if (!event.prompt.empty()) order.push_back(-1);
        if (!event.ids.empty()) order.push_back(event.answer);
        if (event.finish != FinishReason::none && --left > 0) event.finish = FinishReason::none;
        inner(std::move(event));
      });
  ASSERT_TRUE(std::holds_alternative<Accepted>(accepted));
  events->wait();
  EXPECT_EQ(events->prompt.size(), 64u);
  EXPECT_EQ(events->prompt.back().top.size(), 0u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "the prompt first";
  EXPECT_GT(order.size(), 4u);
  const Submitted after = submit(*engine, plain);
  EXPECT_EQ(after.answer->wait().usage.cached_tokens, 48) << "the last token is computed";
}

TEST(PromptScores, VisualTokensHaveNone) {
  const GoldenCase c = subject();
  const auto engine = make_engine(engine_options(), ranks(1, 0));
  Request request = c.request;
  request.prompt_logprobs = 1;
  const Submitted asked = submit(*engine, request);
  EXPECT_EQ(asked.answer->wait().ids, c.ids) << "the answer is the same";
  const std::vector<PromptToken>& prompt = asked.answer->prompt;
  ASSERT_EQ(static_cast<int>(prompt.size()), c.prompt_tokens);
  for (size_t i = 1; i < prompt.size(); ++i) EXPECT_EQ(prompt[i].scored, prompt[i].id >= 0) << i;
  EXPECT_GT(std::count_if(prompt.begin(), prompt.end(), [](const PromptToken& t) { return t.id < 0; }), 20);
}

// A prompt alone has no answer, and room for one token is enough.
TEST(PromptScores, APromptAloneEndsBehindItsScores) {
  const auto engine = make_engine(engine_options(), ranks(1, 0));
  for (const int tokens : {1, 2, 50}) {
    Request request = text_request(tokens);
    request.prompt_logprobs = 2;
    request.stop.max_tokens = 0;
    request.stop.prompt_only = true;
    const Submitted asked = submit(*engine, request);
    EXPECT_EQ(asked.answer->wait().finish, FinishReason::length);
    EXPECT_EQ(asked.answer->prompt.size(), static_cast<size_t>(tokens));
    EXPECT_TRUE(asked.answer->ids.empty());
    EXPECT_EQ(asked.answer->text, "");
    EXPECT_EQ(asked.answer->usage.completion_tokens, 0);
  }
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_EQ(engine->stats().free_pages, engine->stats().total_pages);
}

TEST(PromptScores, CostTwiceTheRowsAndTheBytesOfWhatIsTold) {
  EngineOptions options = engine_options();
  options.prefix_cache = false;  // cached tokens would not be computed again
  options.request_memory_bytes = 3 << 19;
  const auto engine = make_engine(options, ranks(1, 0));
  submit(*engine, text_request(100)).answer->wait();  // a step was measured
  EXPECT_TRUE(becomes_idle(*engine));                 // and what it took is told
  Request request = text_request(100);
  const auto plan_of = [&](int likely) {
    request.prompt_logprobs = likely;
    return std::get<RequestPlan>(engine->plan(request));
  };
  const double plain = plan_of(-1).predicted->prefill;
  EXPECT_NEAR(plan_of(0).predicted->prefill / plain, 1.99, 1e-6);
  // Beside a request that holds some memory, one that tells much finds no room.
  Request running = text_request(60);
  running.prompt_logprobs = 20;
  running.stop.max_tokens = 300;
  const Submitted beside = submit(*engine, running);
  EXPECT_FALSE(plan_of(0).refusal) << "tells little";
  ASSERT_TRUE(plan_of(20).refusal);
  EXPECT_EQ(plan_of(20).refusal->code, "queue_full");
  // One that would tell too much in all its answers is refused for good.
  request.n = 2;
  EXPECT_EQ(plan_of(20).refusal->code, "too_many_logprobs");
  EXPECT_FALSE(plan_of(0).refusal);
  EXPECT_EQ((request.prompt_logprobs = 20, submit(*engine, request).refused.code), "too_many_logprobs");
  request.n = 1;
  engine->cancel(beside.id);
  beside.answer->wait();
  request.prompt_logprobs = 21;
  EXPECT_EQ(submit(*engine, request).refused.code, "invalid_value");
}

// The answer is written when the request has ended, so its bytes count until then.
TEST(PromptScores, CountInMemoryAsLongAsTheyAreKept) {
  EngineOptions options = engine_options();
  options.request_memory_bytes = 3 << 19;
  const auto engine = make_engine(options, ranks(1, 0));
  Request request = text_request(100);
  request.prompt_logprobs = 20;
  request.stop.max_tokens = 1;
  std::shared_ptr<void> kept;
  std::promise<void> ended;
  engine->submit(Request(request), [&](TokenEvent&& event) {
    if (event.memory) kept = std::move(event.memory);
    if (event.finish != FinishReason::none) ended.set_value();
  });
  ended.get_future().wait();
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_TRUE(std::get<RequestPlan>(engine->plan(request)).refusal);
  kept.reset();
  EXPECT_FALSE(std::get<RequestPlan>(engine->plan(request)).refusal);
}

}  // namespace
}  // namespace uhd
