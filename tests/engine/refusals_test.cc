// Tests what the engine refuses before it is paid, and that a request that is cancelled leaves nothing
// behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <thread>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A prompt that no other begins like.
Request long_question(int number) {
  Request request;
  std::string text = std::to_string(number);
  for (int i = 0; i < 60; ++i) text += " What is that?";
  request.messages.push_back({.role = "user", .parts = {{.text = text}}});
  request.sampling.temperature = 0;
  request.stop.max_tokens = 2;
  return request;
}

TEST(Refusals, AKeyBeyondItsQuotaIsToldWhenToComeBack) {
  const auto engine = make_engine(tiny_options(golden_case("uhd-v1-tiny/golden_text").model), ranks(1, 0));
  Request request = long_question(1);
  request.tenant = "0123456789abcdef";
  request.quota = 1e-4;
  EXPECT_EQ(submit(*engine, request).answer->wait().finish, FinishReason::length)
      << "nothing is predicted before something was measured";
  const auto told = [&](const std::string& text) {
    return engine->metrics_text().find(text) != std::string::npos;
  };
  while (!told("key=\"01234567\""))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // it is counted
  const Submitted second = submit(*engine, request);
  EXPECT_EQ(second.refused.code, "quota_exceeded") << "but what it cost is owed";
  EXPECT_EQ(second.refused.kind, FailureKind::busy);
  EXPECT_GE(second.refused.retry_after_s, 1);
  EXPECT_THAT(second.refused.message, HasSubstr("it would be taken in"));
  const auto plan = engine->plan(request);
  ASSERT_TRUE(std::holds_alternative<RequestPlan>(plan));
  ASSERT_TRUE(std::get<RequestPlan>(plan).refusal);
  EXPECT_EQ(std::get<RequestPlan>(plan).refusal->code, "quota_exceeded");
  request.tenant = "fedcba9876543210";
  request.quota = 600;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(submit(*engine, request).answer->wait().finish, FinishReason::length);
  EXPECT_TRUE(told("key=\"01234567\"")) << "the key's first digits alone";
  EXPECT_FALSE(told("0123456789"));
  EXPECT_TRUE(told("code=\"quota_exceeded\"} 1"));
}

TEST(Refusals, ABurstAtANewServerDoesNotOutrunItsQuota) {
  const auto engine = make_engine(tiny_options(golden_case("uhd-v1-tiny/golden_text").model), ranks(1, 0));
  std::vector<Submitted> taken;
  for (int i = 0; i < 24; ++i) {
    Request request = long_question(i);
    request.tenant = "0123456789abcdef";
    request.quota = 1e-5;
    Submitted one = submit(*engine, request);
    if (one.id != 0) {
      taken.push_back(std::move(one));
    } else {
      EXPECT_EQ(one.refused.code, "quota_exceeded");
      EXPECT_GE(one.refused.retry_after_s, 1);
      EXPECT_THAT(one.refused.message, Not(HasSubstr(" 0 s")));
    }
  }
  EXPECT_GE(taken.size(), 1u);
  EXPECT_LE(taken.size(), 2u) << "one of unknown cost, and one as long as the quota is whole";
  for (const Submitted& one : taken) EXPECT_EQ(one.answer->wait().finish, FinishReason::length);
}

// Its prompt has too few rows to tell what a row costs, and its answer is the prompt's last row.
TEST(Refusals, AShortAnswerIsPaidToo) {
  const auto engine = make_engine(tiny_options(golden_case("uhd-v1-tiny/golden_text").model), ranks(1, 0));
  Request request;
  request.prompt_ids = {1, 5, 6};
  request.stop.max_tokens = 1;
  request.tenant = "0123456789abcdef";
  request.quota = 1e-6;
  EXPECT_EQ(submit(*engine, request).answer->wait().finish, FinishReason::length);
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_EQ(submit(*engine, request).refused.code, "quota_exceeded");
}

TEST(Refusals, ATimeThatCannotBeKeptIsRefusedAtOnceAndSaysWhatItWouldTake) {
  const auto engine = make_engine(tiny_options(golden_case("uhd-v1-tiny/golden_text").model), ranks(1, 0));
  const Submitted first = submit(*engine, long_question(0));
  first.answer->wait();
  const Submitted plain = submit(*engine, long_question(1000));  // no picture's time is in its prefill
  EXPECT_EQ(plain.answer->wait().finish, FinishReason::length);
  const double takes = plain.answer->usage.times.prefill;
  ASSERT_GT(takes, 0);
  // On a busy machine the time may be over before anybody looks.
  bool refused = false;
  for (int number = 1; number < 100 && !refused; ++number) {
    Request request = long_question(number);
    request.deadline = Clock::now() + from_seconds(takes / 8);
    const Submitted late = submit(*engine, request);
    late.answer->wait();
    ASSERT_EQ(late.answer->finish, FinishReason::error);
    refused = late.answer->failure.code == "deadline_unreachable";
    if (!refused) {
      EXPECT_EQ(late.answer->failure.code, "deadline_exceeded");
    } else {
      EXPECT_THAT(late.answer->failure.message, HasSubstr("would take about"));
      EXPECT_EQ(late.answer->usage.completion_tokens, 0);
    }
  }
  EXPECT_TRUE(refused);
  Request request = long_question(0);
  request.deadline = Clock::now() + from_seconds(60);
  EXPECT_EQ(submit(*engine, request).answer->wait().finish, FinishReason::length);
}

// A long text, and a picture behind it.
Request long_question_about_a_picture(int number) {
  Request request = long_question(number);
  request.messages.push_back({.role = "assistant", .parts = {{.text = "Show me."}}});
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  request.messages.push_back(c.request.messages.back());
  return request;
}

TEST(Refusals, ATimeThatTheTextAloneCannotKeepIsRefusedBeforeThePictureIsCut) {
  EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_text").model);
  options.image_order = "client";
  const auto engine = make_engine(options, ranks(1, 0));
  const Submitted first = submit(*engine, long_question_about_a_picture(0));
  EXPECT_EQ(first.answer->wait().finish, FinishReason::length);
  EXPECT_GT(first.answer->usage.times.preprocess, 0);
  const Submitted plain = submit(*engine, long_question(1000));  // no picture's time is in its prefill
  EXPECT_EQ(plain.answer->wait().finish, FinishReason::length);
  const double takes = plain.answer->usage.times.prefill;
  // On a busy machine the time may be over before anybody looks.
  bool refused = false;
  for (int number = 1; number < 100 && !refused; ++number) {
    Request request = long_question_about_a_picture(number);
    request.deadline = Clock::now() + from_seconds(takes / 8);
    const Submitted late = submit(*engine, request);
    ASSERT_EQ(late.answer->wait().finish, FinishReason::error);
    refused = late.answer->failure.code == "deadline_unreachable";
    EXPECT_TRUE(refused || late.answer->failure.code == "deadline_exceeded");
    EXPECT_TRUE(!refused || late.answer->usage.times.preprocess == 0) << "the picture was cut";
  }
  EXPECT_TRUE(refused);
  // Its text is kept, and its picture may be. On a busy machine the time may be nearly over at a later look.
  bool taken = false;
  for (int time = 0; time < 100 && !taken; ++time) {
    Request kept = long_question_about_a_picture(0);
    kept.deadline = Clock::now() + from_seconds(takes / 4);
    taken = submit(*engine, kept).answer->wait().failure.code != "deadline_unreachable";
  }
  EXPECT_TRUE(taken);
}

// The context is the client's to shorten; the store is the operator's.
TEST(Refusals, MorePicturesThanTheStoreHoldsNameTheStore) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(c.model);
  options.visual_cache_bytes = 0;  // room for one picture
  options.image.max_images = 8;
  options.context_length = 1400;
  const auto engine = make_engine(options, ranks(1, 0));
  Request request = c.request;
  auto& parts = request.messages.back().parts;
  const auto picture = *std::ranges::find_if(parts, [](const MessagePart& part) { return part.is_image(); });
  std::set<std::string> codes;
  for (int more = 0; more < options.image.max_images - 1; ++more) {
    parts.push_back(picture);
    const Submitted submitted = submit(*engine, request);
    if (!submitted.refused.code.empty()) codes.insert(submitted.refused.code);
  }
  EXPECT_THAT(codes, testing::ElementsAre("too_many_visual_tokens"));
}

// Encoders may end what they had begun: looks again for ten seconds at most.
bool encoders_become_idle(const Engine& engine) {
  const auto slices = [&] {
    std::istringstream page(engine.metrics_text());
    double all = 0;
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("uhd_encoder_slices{")) all += std::stod(line.substr(line.rfind(' ')));
    }
    return all;
  };
  const TimePoint limit = Clock::now() + std::chrono::seconds(10);
  while (slices() > 0 && Clock::now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return slices() == 0;
}

struct Ranks {
  int llm = 1;
  int encoders = 0;
};
class CancelledRequest : public testing::TestWithParam<Ranks> {};

// A step that is under way when a request is cancelled goes on, and the next may be planned already.
constexpr int kMostStepsOfACancelledRequest = 2;

TEST_P(CancelledRequest, LeavesNothingBehindByTheNextStepWhateverItsStage) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(c.model);
  options.visual_cache_bytes = 0;  // room for one picture
  options.prefix_cache = false;
  options.tpot_target_ms = 1e-3;  // passes of the tower stop after each part
  const auto engine = make_engine(options, ranks(GetParam().llm, GetParam().encoders));
  Request request = c.request;
  request.stop.max_tokens = 200;
  request.stop.ignore_eos = true;
  const auto steps = [&] { return metric(*engine, "uhd_steps_total"); };
  const auto expect_nothing_left = [&](const std::string& stage, double before) {
    EXPECT_TRUE(becomes_idle(*engine)) << stage;
    EXPECT_LE(steps() - before, kMostStepsOfACancelledRequest) << stage;
    EXPECT_EQ(engine->stats().free_pages, engine->stats().total_pages) << stage;
    EXPECT_EQ(engine->stats().running, 0) << stage;
    EXPECT_EQ(metric(*engine, "uhd_slices_queued"), 0) << stage;
  };
  for (int ms = 0; ms < 30; ms += 3) {
    std::vector<Submitted> several;
    for (int i = 0; i < 3; ++i) several.push_back(submit(*engine, request));
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    for (const Submitted& s : several) engine->cancel(s.id);
    const double before = steps();
    for (const Submitted& s : several) EXPECT_EQ(s.answer->wait().finish, FinishReason::cancelled);
    expect_nothing_left(std::to_string(ms), before);
  }
  const Submitted decoding = submit(*engine, request);
  decoding.answer->wait_for_tokens(3);
  engine->cancel(decoding.id);
  const double before = steps();
  EXPECT_EQ(decoding.answer->wait().finish, FinishReason::cancelled);
  expect_nothing_left("decoding", before);
  EXPECT_EQ(submit(*engine, c.request).answer->wait().ids, c.ids) << "all rows of the store are there";
  EXPECT_TRUE(encoders_become_idle(*engine));
}

INSTANTIATE_TEST_SUITE_P(Ranks, CancelledRequest, testing::Values(Ranks{1, 0}, Ranks{2, 0}, Ranks{1, 2}),
                         [](const auto& ranks) {
                           return message(ranks.param.llm, "And", ranks.param.encoders, "Encoders");
                         });

// Both want all slices of one picture, and the first leaves while they are cut, encoded or on their way.
TEST(CancelledRequest, SlicesThatAnotherRequestWantsStay) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto alone = make_engine(tiny_options(c.model), ranks(1, 0));
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 2));
  for (int ms = 0; ms < 24; ms += 4) {
    Request request = c.request;
    request.stop.max_tokens = 4;
    auto& parts = request.messages.back().parts;
    std::ranges::find_if(parts, [](const MessagePart& part) { return part.is_image(); })->image =
        std::make_shared<const std::string>(png_with_inverted(c, ms, ms, 40, 40));
    const Submitted leaves = submit(*engine, request);
    const Submitted stays = submit(*engine, request);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    engine->cancel(leaves.id);
    EXPECT_EQ(stays.answer->wait().ids, submit(*alone, request).answer->wait().ids) << ms;
    leaves.answer->wait();
  }
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_TRUE(encoders_become_idle(*engine));
  EXPECT_EQ(metric(*engine, "uhd_slices_failed_total"), 0);
}

}  // namespace
}  // namespace uhd
