// Tests how the engine serves: many requests at once, preempted, cancelled, drained, refused, and with
// encoders that die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <limits>
#include <random>
#include <set>
#include <thread>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

Request text_request(const GoldenCase& c, int max_tokens) {
  Request request = c.request;
  request.stop.max_tokens = max_tokens;
  return request;
}

std::vector<int32_t> first(const std::vector<int32_t>& ids, size_t n) {
  return {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(std::min(n, ids.size()))};
}

TEST(Engine, AnswersManyAtOnceAsItAnswersEachAlone) {
  const GoldenCase text = golden_case("uhd-v1-tiny/golden_text");
  const GoldenCase image = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(text.model);
  options.token_budget = 64;
  const auto engine = make_engine(options, ranks(1, 0));
  std::vector<Submitted> texts, images;
  for (int i = 0; i < 12; ++i) {
    texts.push_back(submit(*engine, text_request(text, 8 + 2 * i)));
    if (i % 3 == 0) images.push_back(submit(*engine, image.request));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(texts[i].answer->wait().ids, first(text.ids, 8 + 2 * i)) << "request " << i;
  }
  for (const Submitted& s : images) EXPECT_EQ(s.answer->wait().ids, image.ids);
  int cached = 0;
  for (const Submitted& s : images) cached += s.answer->usage.images.at(0).cached_slices;
  EXPECT_EQ(cached, 3 * (image.request.messages.empty() ? 0 : images[0].answer->usage.images[0].slices + 1))
      << "equal images are encoded once";
}

// The spans of one stage.
std::vector<TimelineSpan> spans_of(const std::vector<TimelineSpan>& spans, Stage stage) {
  std::vector<TimelineSpan> found;
  for (const TimelineSpan& span : spans) {
    if (span.stage == stage) found.push_back(span);
  }
  return found;
}

TEST(Engine, TellsTheTimelineOfARequestThatAsksForIt) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  for (const int encoders : {0, 1}) {
    const auto engine = make_engine(tiny_options(c.model), ranks(1, encoders));
    Request asked = c.request;
    asked.timeline = true;
    asked.last_byte = Clock::now();
    asked.first_byte = *asked.last_byte - std::chrono::seconds(1);
    const Submitted first = submit(*engine, asked);
    EXPECT_EQ(first.answer->wait().ids, c.ids) << "a timeline changes no answer";
    const std::vector<TimelineSpan>& spans = first.answer->spans;
    const double total = first.answer->usage.times.total;
    for (const TimelineSpan& span : spans) {
      EXPECT_LE(span.begin, span.end);
      EXPECT_LE(span.end, 2 + total) << name_of(span.stage);
    }
    ASSERT_EQ(spans_of(spans, Stage::read).size(), 1u);
    EXPECT_NEAR(spans_of(spans, Stage::read)[0].end, 1, 1e-6);
    EXPECT_EQ(spans_of(spans, Stage::lay_out).size(), 1u);
    EXPECT_EQ(spans_of(spans, Stage::queue).size(), 1u);
    EXPECT_EQ(spans_of(spans, Stage::cut).size(), 1u);
    const auto encoded = spans_of(spans, Stage::encode);
    ASSERT_EQ(encoded.size(), 3u) << "two slices and the overview";
    std::set<int> pieces;
    for (const TimelineSpan& span : encoded) {
      pieces.insert(span.slice);
      EXPECT_EQ(span.encoder > 0, encoders > 0);
      EXPECT_GE(span.begin, spans_of(spans, Stage::cut)[0].end);
      EXPECT_LT(span.begin, span.end) << "encoding takes time";
    }
    EXPECT_EQ(pieces, (std::set<int>{0, 1, 2}));
    EXPECT_EQ(spans_of(spans, Stage::wait).size(), 3u);
    EXPECT_EQ(spans_of(spans, Stage::send).size(), encoders > 0 ? 3u : 0u);
    EXPECT_EQ(spans_of(spans, Stage::transfer).size(), encoders > 0 ? 3u : 0u);
    int prompt = 0, drawn = 0;
    for (const TimelineSpan& span : spans_of(spans, Stage::prefill)) prompt += span.tokens;
    for (const TimelineSpan& span : spans_of(spans, Stage::decode)) drawn += span.tokens;
    EXPECT_EQ(prompt, first.answer->usage.prompt_tokens);
    EXPECT_EQ(drawn, static_cast<int>(c.ids.size()) - 1) << "prefill draws the first";

    const Submitted again = submit(*engine, asked);
    again.answer->wait();
    EXPECT_EQ(spans_of(again.answer->spans, Stage::cached).size(), 3u);
    EXPECT_TRUE(spans_of(again.answer->spans, Stage::encode).empty());
    const Submitted silent = submit(*engine, c.request);
    silent.answer->wait();
    EXPECT_TRUE(silent.answer->spans.empty());
  }
}

TEST(Engine, PreemptedSequencesGiveTheSameTokens) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.page_size = 8;
  options.context_length = 160;
  options.max_running = 4;
  // Pages for one and a half sequences: they must take turns.
  options.kv_memory_bytes = int64_t{30} * 8 * 4 * 2 * 256 * 4;
  options.prefix_cache = false;  // shared pages would be enough
  const auto engine = make_engine(options, ranks(1, 0));
  std::vector<Submitted> submitted;
  for (int i = 0; i < 6; ++i) submitted.push_back(submit(*engine, c.request));
  for (const Submitted& s : submitted) EXPECT_EQ(s.answer->wait().ids, c.ids);
  EXPECT_EQ(engine->metrics_text().find("uhd_preemptions_total{model=\"uhd-v1-tiny\"} 0"), std::string::npos)
      << "the test meant to run out of pages";
}

TEST(Engine, CancelledMidwayEndsAndFreesItsPages) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const Submitted cancelled = submit(*engine, text_request(c, 400));
  const Submitted other = submit(*engine, c.request);
  cancelled.answer->wait_for_tokens(3);
  engine->cancel(cancelled.id);
  EXPECT_EQ(cancelled.answer->wait().finish, FinishReason::cancelled);
  EXPECT_EQ(other.answer->wait().ids, c.ids);
  const Submitted later = submit(*engine, c.request);
  EXPECT_EQ(later.answer->wait().ids, c.ids);
  EXPECT_EQ(cancelled.answer->events_after_the_last, 0);
}

TEST(Engine, DrainLetsRunningFinishAndRefusesNew) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const Submitted running = submit(*engine, c.request);
  engine->drain();
  EXPECT_EQ(submit(*engine, c.request).refused.kind, FailureKind::unavailable);
  EXPECT_EQ(engine->stats().readiness, Readiness::draining);
  EXPECT_EQ(running.answer->wait().ids, c.ids);
}

TEST(Engine, RefusesBeyondItsQueueAndSaysWhenToReturn) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.max_running = 1;
  options.max_waiting = 2;
  const auto engine = make_engine(options, ranks(1, 0));
  std::vector<Submitted> accepted;
  for (int i = 0; i < 3; ++i) accepted.push_back(submit(*engine, text_request(c, 200)));
  const Submitted refused = submit(*engine, c.request);
  EXPECT_EQ(refused.refused.kind, FailureKind::busy);
  EXPECT_THAT(refused.refused.message, ::testing::HasSubstr("needs 1 places, and 0 of 3 are free"));
  EXPECT_GE(refused.refused.retry_after_s, 1);
  for (const Submitted& s : accepted) EXPECT_EQ(s.answer->wait().ids.size(), 200u);
}

TEST(Engine, EndsRunningRequestsWhenItIsDestroyed) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  auto engine = make_engine(tiny_options(c.model), ranks(2, 0));
  const Submitted running = submit(*engine, text_request(c, 400));
  running.answer->wait_for_tokens(1);
  engine.reset();
  EXPECT_EQ(running.answer->wait().finish, FinishReason::cancelled);
}

TEST(Engine, ABadImageEndsItsOwnRequestOnly) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  // A header that promises a picture, and nothing behind it.
  Request truncated = c.request;
  const std::string& whole = *truncated.messages[0].parts[0].image;
  truncated.messages[0].parts[0].image =
      std::make_shared<const std::string>(whole.substr(0, whole.size() / 2));
  const Submitted bad = submit(*engine, truncated);
  const Submitted good = submit(*engine, c.request);
  const Failure failure = !bad.refused.code.empty() ? bad.refused : bad.answer->wait().failure;
  EXPECT_EQ(failure.kind, FailureKind::invalid) << failure.message;
  EXPECT_EQ(good.answer->wait().ids, c.ids);
}

TEST(Engine, RefusesWhatCannotFitBeforeAnyWork) {
  const GoldenCase image = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(image.model);
  options.context_length = 300;
  options.image.max_images = 1;
  const auto engine = make_engine(options, ranks(1, 0));
  EXPECT_EQ(submit(*engine, image.request).refused.code, "context_length_exceeded");
  Request two = image.request;
  two.messages.push_back(two.messages[0]);
  EXPECT_EQ(submit(*engine, two).refused.kind, FailureKind::invalid);
  Request garbage = image.request;
  garbage.messages[0].parts[0].image = std::make_shared<const std::string>("not an image");
  EXPECT_EQ(submit(*engine, garbage).refused.kind, FailureKind::invalid);
  EXPECT_TRUE(becomes_idle(*engine));
}

TEST(Engine, ATextIsRefusedByItsSizeAndMoreTokensThanFitAreACap) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.context_length = 160;
  const auto engine = make_engine(options, ranks(1, 0));
  const auto most = static_cast<size_t>(engine->model().max_text_bytes);
  ASSERT_GT(most, 160u);
  Request chat;
  chat.messages = {{"user", {{.text = std::string(most, 'x')}, {.text = "y"}}}};
  EXPECT_THAT(submit(*engine, chat).refused.message, testing::HasSubstr("bytes"));
  Request raw;
  raw.prompt = std::string(most + 1, 'x');
  EXPECT_THAT(submit(*engine, raw).refused.message, testing::HasSubstr("bytes"));
  raw.prompt = std::string(most, 'x');
  EXPECT_EQ(submit(*engine, raw).refused.code, "context_length_exceeded");
  const Submitted capped = submit(*engine, text_request(c, 1'000'000));
  EXPECT_EQ(capped.accepted.max_tokens, 160 - capped.accepted.prompt_tokens);
  EXPECT_EQ(capped.answer->wait().finish, FinishReason::length);
  Request least = text_request(c, 1'000'000);
  least.stop.min_tokens = 160;
  EXPECT_EQ(submit(*engine, least).refused.code, "context_length_exceeded");
  EXPECT_TRUE(becomes_idle(*engine));
}

TEST(Engine, StopsAtAStopStringWithoutShowingIt) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const std::string whole = submit(*engine, c.request).answer->wait().text;
  const std::string stop = "slice";
  ASSERT_NE(whole.find(stop), std::string::npos);
  Request request = c.request;
  request.stop.stop = {stop};
  const Submitted stopped = submit(*engine, request);
  EXPECT_EQ(stopped.answer->wait().text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(stopped.answer->finish, FinishReason::stop);
}

TEST(Engine, StopIdsEndTheAnswerAndMinTokensHoldThemOff) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  Request request = c.request;
  request.stop.stop_ids = {c.ids[4]};
  const Submitted stopped = submit(*engine, request);
  EXPECT_EQ(stopped.answer->wait().ids, first(c.ids, 5));
  request.stop.min_tokens = 8;
  const Submitted held = submit(*engine, request);
  EXPECT_GE(held.answer->wait().ids.size(), 8u);
  EXPECT_NE(held.answer->ids[4], c.ids[4]);
}

TEST(Engine, AnAnswerSaysWhatStoppedItAndKeepsItIfAsked) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const auto run = [&](const Request& request) { return submit(*engine, request).answer; };
  const std::string whole = run(c.request)->wait().text;
  Request request = c.request;
  request.stop.stop = {"slice"};
  EXPECT_EQ(run(request)->wait().stop_reason, StopReason("slice"));
  request.stop.keep_stop = true;
  EXPECT_EQ(run(request)->wait().text, whole.substr(0, whole.find("slice") + 5));

  request = c.request;
  request.stop.stop_ids = {c.ids[4]};
  const auto by_id = run(request);
  EXPECT_EQ(by_id->wait().stop_reason, StopReason(c.ids[4]));
  request.stop.keep_stop = true;
  EXPECT_EQ(run(request)->wait().text, engine->detokenize(first(c.ids, 5)));
  EXPECT_LT(by_id->text.size(), engine->detokenize(first(c.ids, 5)).size());
  EXPECT_EQ(run(c.request)->wait().stop_reason, StopReason());
}

TEST(Engine, OnlyAllowedTokensAndNoBadWordAreInTheAnswer) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(2, 0));
  Request request = c.request;
  request.sampling.allowed_ids = {c.ids[3], c.ids[0], c.ids[1]};
  const std::set<int32_t> allowed(request.sampling.allowed_ids.begin(), request.sampling.allowed_ids.end());
  const auto some = submit(*engine, request).answer;
  for (const int32_t id : some->wait().ids) EXPECT_TRUE(allowed.contains(id)) << id;
  EXPECT_EQ(some->ids[0], c.ids[0]);

  const std::string whole = submit(*engine, c.request).answer->wait().text;
  ASSERT_NE(whole.find(" slice"), std::string::npos) << whole;
  request = c.request;
  request.sampling.bad_words = {"slice"};
  EXPECT_EQ(submit(*engine, request).answer->wait().text.find(" slice"), std::string::npos);

  request.sampling.bad_words = {""};
  EXPECT_EQ(submit(*engine, request).refused.code, "invalid_value");
  request.sampling.bad_words = {};
  request.sampling.allowed_ids = {1 << 30};
  EXPECT_EQ(submit(*engine, request).refused.code, "invalid_token");
}

TEST(Engine, APromptIsCutAtItsBeginningIfAsked) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.context_length = 64;
  const auto engine = make_engine(options, ranks(1, 0));
  const std::vector<int32_t> ids = engine->tokenize("The quick brown fox jumps over the lazy dog", true);
  Request request;
  request.stop.max_tokens = 4;
  request.prompt = "The quick brown fox jumps over the lazy dog";
  request.truncate_prompt = 6;
  request.sampling.temperature = 0;
  std::vector<int32_t> kept{ids[0]};
  kept.insert(kept.end(), ids.end() - 5, ids.end());
  EXPECT_EQ(std::get<RequestPlan>(engine->plan(request)).prompt_ids, kept) << "what begins every text stays";

  Request same;
  same.sampling.temperature = 0;
  same.prompt_ids = kept;
  same.stop.max_tokens = 4;
  const Submitted cut = submit(*engine, request);
  EXPECT_EQ(cut.accepted.prompt_tokens, 6);
  EXPECT_EQ(cut.answer->wait().ids, submit(*engine, same).answer->wait().ids);

  Request many;
  many.prompt_ids.assign(5000, ids[1]);
  many.stop.max_tokens = 4;
  EXPECT_EQ(submit(*engine, many).refused.code, "context_length_exceeded");
  many.truncate_prompt = -1;
  EXPECT_EQ(submit(*engine, many).accepted.prompt_tokens, 60);
  many.stop.max_tokens = 64;
  EXPECT_EQ(submit(*engine, many).refused.code, "context_length_exceeded");

  Request image = golden_case("uhd-v1-tiny/golden_image_doc").request;
  image.truncate_prompt = 10;
  EXPECT_EQ(submit(*engine, image).refused.code, "invalid_value");
}

TEST(Engine, TheOrderOfTextAndImageIsTheModels) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_doc");
  Request moved = c.request;
  for (Message& m : moved.messages) std::reverse(m.parts.begin(), m.parts.end());
  ASSERT_TRUE(moved.messages.back().parts.back().is_image());
  EngineOptions options = tiny_options(c.model);
  {
    const auto engine = make_engine(options, ranks(1, 0));
    EXPECT_EQ(submit(*engine, moved).answer->wait().ids, c.ids);
    EXPECT_EQ(std::get<RequestPlan>(engine->plan(moved)).prompt_ids,
              std::get<RequestPlan>(engine->plan(c.request)).prompt_ids);
  }
  options.image_order = "client";
  const auto engine = make_engine(options, ranks(1, 0));
  EXPECT_EQ(submit(*engine, c.request).answer->wait().ids, c.ids);
  EXPECT_NE(std::get<RequestPlan>(engine->plan(moved)).prompt_ids,
            std::get<RequestPlan>(engine->plan(c.request)).prompt_ids);
}

TEST(Engine, MinTokensHoldOffStopStringsToo) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_doc");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const Submitted plain = submit(*engine, c.request);
  const std::string whole = plain.answer->wait().text;
  // Any text stops: so the first token that may be the last is it.
  Request request = c.request;
  for (char letter = ' '; letter < 127 && request.stop.stop.size() < 16; ++letter) {
    if (whole.find(letter) != std::string::npos) request.stop.stop.emplace_back(1, letter);
  }
  EXPECT_LT(submit(*engine, request).answer->wait().ids.size(), 4u);
  request.stop.min_tokens = 6;
  const Submitted held = submit(*engine, request);
  EXPECT_GT(held.answer->wait().ids.size(), 6u);
  EXPECT_EQ(held.answer->finish, FinishReason::stop);
  EXPECT_TRUE(whole.starts_with(held.answer->text));
  request.stop.min_tokens = request.stop.max_tokens;
  const Submitted never = submit(*engine, request);
  EXPECT_EQ(never.answer->wait().text, whole);
  EXPECT_EQ(never.answer->finish, FinishReason::length);
}

TEST(Engine, EverySeedRepeatsZeroTooAndAnswersDiffer) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  Request request = text_request(c, 24);
  request.sampling.temperature = 1;
  const uint64_t kMost = std::numeric_limits<uint64_t>::max();
  std::set<std::vector<int32_t>> texts;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, kMost}) {
    request.sampling.seed = seed;
    std::vector<std::vector<std::vector<int32_t>>> runs;
    for (int run = 0; run < 2; ++run) {  // in engines of their own
      const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
      if (run > 0) submit(*engine, c.request).answer->wait();
      request.n = 3;
      runs.push_back(answers_of(*engine, request));
      request.n = 1;
      EXPECT_EQ(submit(*engine, request).answer->wait().ids, runs.back()[0]) << "the first draws by the seed";
    }
    EXPECT_EQ(runs[0], runs[1]) << "seed " << seed;
    texts.insert(runs[0].begin(), runs[0].end());
  }
  EXPECT_EQ(texts.size(), 9u);
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  request.sampling.seed.reset();
  EXPECT_NE(submit(*engine, request).answer->wait().ids, submit(*engine, request).answer->wait().ids);
}

TEST(Engine, SeveralAnswersAreOneRequestWhoseImagesAreEncodedOnce) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(tiny_options(c.model), ranks(2, 0));
  Request request = c.request;
  request.n = 4;
  for (const std::vector<int32_t>& ids : answers_of(*engine, request)) EXPECT_EQ(ids, c.ids);
  EXPECT_TRUE(becomes_idle(*engine));
  const std::string metrics = engine->metrics_text();
  for (const char* line : {"uhd_requests_accepted_total", "uhd_requests_finished_total"}) {
    const size_t at = metrics.find(std::string("\n") + line);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(metrics.substr(metrics.find(' ', at) + 1, 2), "1\n") << line;
  }
  EXPECT_NE(metrics.find("uhd_slices_cached_total{model=\"" + engine->model().id + "\"} 0\n"),
            std::string::npos)
      << metrics;
}

TEST(Engine, ACancelledRequestEndsAllOfItsAnswers) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  Request request = text_request(c, 400);
  request.n = 3;
  std::promise<void> began, ended;
  std::atomic<int> begun{0}, cancelled{0};
  const auto answer = engine->submit(Request(request), [&](TokenEvent&& event) {
    if (event.finish == FinishReason::cancelled && ++cancelled == 3) ended.set_value();
    if (event.finish == FinishReason::none && ++begun == 1) began.set_value();
  });
  began.get_future().wait();
  engine->cancel(std::get<Accepted>(answer).id);
  ended.get_future().wait();
  EXPECT_TRUE(becomes_idle(*engine));
}

TEST(Engine, RefusesMoreAnswersThanThereArePlaces) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.max_running = 1;
  options.max_waiting = 2;
  const auto engine = make_engine(options, ranks(1, 0));
  Request request = c.request;
  request.n = 4;
  EXPECT_EQ(submit(*engine, request).refused.code, "too_many_answers");
  request.n = 0;
  EXPECT_EQ(submit(*engine, request).refused.code, "invalid_value");
  request.n = 3;
  for (const std::vector<int32_t>& ids : answers_of(*engine, request)) EXPECT_EQ(ids, c.ids);
}

TEST(Engine, SeedsRepeatAndLogprobsAreGiven) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(2, 0));
  Request request = c.request;
  request.sampling.temperature = 1;
  request.sampling.seed = 42;
  request.sampling.logprobs = 3;
  const Submitted a = submit(*engine, request);
  const Submitted noise = submit(*engine, c.request);
  const Submitted b = submit(*engine, request);
  EXPECT_EQ(a.answer->wait().ids, b.answer->wait().ids);
  ASSERT_EQ(a.answer->logprobs.size(), a.answer->ids.size());
  EXPECT_EQ(a.answer->logprobs[0].top.size(), 3u);
  EXPECT_LE(a.answer->logprobs[0].logprob, 0);
  EXPECT_EQ(noise.answer->wait().ids, c.ids);
  request.sampling.seed = 43;
  EXPECT_NE(submit(*engine, request).answer->wait().ids, a.answer->ids);
}

TEST(Engine, ExpiredRequestsEndWithAnError) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  Request request = c.request;
  request.deadline = Clock::now();
  const Submitted late = submit(*engine, request);
  EXPECT_EQ(late.answer->wait().finish, FinishReason::error);
  EXPECT_EQ(late.answer->failure.code, "deadline_exceeded");
}

TEST(Engine, TenantsDoNotShareSlicesUnlessAllowed) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  for (const bool share : {false, true}) {
    EngineOptions options = tiny_options(c.model);
    options.share_caches = share;
    const auto engine = make_engine(options, ranks(1, 0));
    Request request = c.request;
    request.tenant = "one";
    submit(*engine, request).answer->wait();
    request.tenant = "two";
    const Submitted other = submit(*engine, request);
    const ImageReport report = other.answer->wait().usage.images.at(0);
    EXPECT_EQ(report.cached_slices, share ? report.slices + 1 : 0);
    EXPECT_EQ(other.answer->ids, c.ids);
  }
}

// The store holds the slices of one picture alone.
TEST(Engine, SlicesBeyondTheStoreComeBackFromHostMemory) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  GoldenCase other = c;
  other.request.messages[0].parts[0].image = std::make_shared<const std::string>(flipped_png(c));
  EngineOptions options = tiny_options(c.model);
  options.image.max_slices = 2;  // so many does the picture have
  options.visual_cache_bytes = 0;
  options.visual_cache_host_bytes = 1 << 24;
  options.prefix_cache = false;  // kept keys and values would be enough
  for (const int encoders : {0, 1}) {
    const auto engine = make_engine(options, ranks(1, encoders));
    EXPECT_EQ(submit(*engine, c.request).answer->wait().usage.images.at(0).cached_slices, 0);
    EXPECT_EQ(submit(*engine, other.request).answer->wait().usage.images.at(0).cached_slices, 0);
    EXPECT_EQ(metric(*engine, "uhd_slices_kept_total"), 0);
    const Submitted again = submit(*engine, c.request);
    EXPECT_EQ(again.answer->wait().ids, c.ids);
    EXPECT_EQ(again.answer->usage.images.at(0).cached_slices, 3) << "two slices and the overview";
    EXPECT_EQ(metric(*engine, "uhd_slices_kept_total"), 3);
    Request stranger = c.request;
    submit(*engine, other.request).answer->wait();
    stranger.tenant = "somebody else";
    EXPECT_EQ(submit(*engine, stranger).answer->wait().usage.images.at(0).cached_slices, 0);
  }
}

TEST(Engine, SlicesOfALostEncoderAreEncodedByAnother) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_doc");
  InProcessEngine started = start_in_process(tiny_options(c.model), ranks(1, 2));
  // Several pictures under way, each of its own tenant so that none comes from the store.
  std::vector<Submitted> submitted;
  for (int i = 0; i < 4; ++i) {
    Request request = c.request;
    request.tenant = std::to_string(i);
    submitted.push_back(submit(*started.engine, request));
  }
  started.encoders->end(0);
  for (const Submitted& s : submitted) {
    EXPECT_EQ(s.answer->wait().failure.message, "");
    EXPECT_EQ(s.answer->ids, c.ids);
  }
}

TEST(Engine, WithoutAnyEncoderImagesFailAndTextGoesOn) {
  const GoldenCase image = golden_case("uhd-v1-tiny/golden_image_2slices");
  const GoldenCase text = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(image.model);
  options.encoders.wait_s = 0.5;
  InProcessEngine started = start_in_process(options, ranks(1, 1));
  started.encoders->end(0);
  const Submitted failed = submit(*started.engine, image.request);
  const Submitted fine = submit(*started.engine, text.request);
  EXPECT_EQ(fine.answer->wait().ids, text.ids);
  EXPECT_EQ(failed.answer->wait().failure.kind, FailureKind::unavailable);
  EXPECT_EQ(started.engine->stats().readiness, Readiness::text_only);
}

TEST(Engine, FreesEverythingAfterManyClientsCameAndLeft) {
  const GoldenCase text = golden_case("uhd-v1-tiny/golden_text");
  const GoldenCase image = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions options = tiny_options(text.model);
  options.kv_memory_bytes = 16 << 20;
  const auto engine = make_engine(options, ranks(2, 1));
  const auto client = [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<Submitted> mine;
    for (int i = 0; i < 12; ++i) {
      Request request =
          random() % 3 == 0 ? image.request : text_request(text, 1 + static_cast<int>(random() % 40));
      request.tenant = std::to_string(random() % 2);
      mine.push_back(submit(*engine, request));
      if (random() % 3 == 0) engine->cancel(mine[random() % mine.size()].id);
      if (random() % 4 == 0) mine.back().answer->wait_for_tokens(2);
    }
    for (const Submitted& s : mine) {
      ASSERT_EQ(s.refused.code, "") << s.refused.message;
      EXPECT_NE(s.answer->wait().finish, FinishReason::error) << s.answer->failure.message;
      EXPECT_EQ(s.answer->events_after_the_last, 0);
    }
  };
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i) clients.emplace_back(client, i);
  }
  EXPECT_TRUE(becomes_idle(*engine));
  EXPECT_EQ(submit(*engine, text.request).answer->wait().ids, text.ids);
}

TEST(Engine, SaysWhichOptionIsWrong) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  EngineOptions options = tiny_options(c.model);
  options.dtype = "int3";
  EXPECT_THROW(make_engine(options, ranks(1, 0)), Error);
  options.vision_dtype = "bf16";
  options.dtype = "f32";
  EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("needs model.dtype=bf16")));
  options.dtype = "bf16";
  options.vision_dtype = "int8";
  EXPECT_THROW(make_engine(options, ranks(1, 0)), Error);
  options = tiny_options(c.model);
  options.quantize = "int3";
  EXPECT_THROW(make_engine(options, ranks(1, 0)), Error);
  options.backend.quantize_activations = true;
  for (const char* unfit : {"none", "int4"}) {
    options.quantize = unfit;
    EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("needs model.quantize=fp8 or int8")));
  }
  options.quantize = "fp8";
  EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("on the CPU needs model.quantize=int8")));
  options = tiny_options(c.model);
  options.vision_quantize = "int4";
  EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("must be none or int8")));
  options.vision_quantize = "int8";
  options.dtype = "f32";
  EXPECT_THAT([&] { make_engine(options, ranks(1, 0)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("set model.vision_dtype=bf16")));
  options = tiny_options(c.model / "absent");
  EXPECT_THROW(make_engine(options, ranks(1, 0)), Error);
  options = tiny_options(c.model);
  EXPECT_THROW(make_engine(options, ranks(3, 0)), Error) << "heads do not divide";
}

TEST(Engine, MetricsNameWhatHappened) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  submit(*engine, c.request).answer->wait();
  const std::string text = engine->metrics_text();
  for (const char* name : {"uhd_ttft_seconds_bucket", "uhd_decode_tokens_total", "uhd_kv_pages_free"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace uhd
