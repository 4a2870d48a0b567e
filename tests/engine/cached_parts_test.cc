// A plan says of the caches what the request then finds in them.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

GoldenCase sliced_case() { return golden_case("uhd-v1-tiny/golden_image_2slices"); }

// Asks until the engine's thread had time to look.
CachedParts planned_parts(const Engine& engine, const Request& request) {
  for (;;) {
    const auto plan = engine.plan(request);
    if (const auto* failure = std::get_if<Failure>(&plan)) {
      ADD_FAILURE() << failure->message;
      return {};
    }
    if (const auto& cached = std::get<RequestPlan>(plan).cached) return *cached;
  }
}

// Runs the request, which finds what its plan said; returns that.
CachedParts found_as_planned(Engine& engine, const Request& request) {
  const CachedParts plan = planned_parts(engine, request);
  const Submitted run = submit(engine, request);
  const Usage& usage = run.answer->wait().usage;
  EXPECT_NE(run.answer->finish, FinishReason::error) << run.answer->failure.message;
  int slices = 0;
  for (const ImageReport& image : usage.images) slices += image.cached_slices;
  EXPECT_EQ(plan.tokens, usage.cached_tokens);
  EXPECT_EQ(plan.slices, slices);
  return plan;
}

int text_before_the_picture(const GoldenCase& c) {
  const auto engine = make_engine(tiny_options(c.model), ranks(1, 0));
  const auto ids = std::get<std::vector<int32_t>>(engine->lay_out(c.request));
  return static_cast<int>(std::ranges::find(ids, -1) - ids.begin());
}

// The picture begins with a page. Else a part of the text before it would be computed, or not, while the
// picture is cut, whichever is first.
EngineOptions paged_options(const GoldenCase& c, int text) {
  EngineOptions options = tiny_options(c.model);
  options.page_size = 16;
  while (text % options.page_size != 0) --options.page_size;
  return options;
}

Request with_picture(const GoldenCase& c, std::string png) {
  Request request = c.request;
  request.messages[0].parts[0].image = std::make_shared<const std::string>(std::move(png));
  return request;
}

class CachedPartsOf : public testing::TestWithParam<ClusterOptions> {
 protected:
  const GoldenCase case_ = sliced_case();
  const int text_ = text_before_the_picture(case_);
  const EngineOptions options_ = paged_options(case_, text_);
};

TEST_P(CachedPartsOf, APictureThatComesAgainAreAllButTheEnd) {
  const auto engine = make_engine(options_, GetParam());
  const CachedParts first = found_as_planned(*engine, case_.request);
  EXPECT_EQ(first.tokens, 0);
  EXPECT_EQ(first.slices, 0);
  const CachedParts again = found_as_planned(*engine, case_.request);
  EXPECT_EQ(again.tokens, (case_.prompt_tokens - 1) / options_.page_size * options_.page_size);
  EXPECT_EQ(again.slices, 3) << "two slices and the overview";
}

TEST_P(CachedPartsOf, AnotherTenantAreNone) {
  Request request = case_.request;
  request.tenant = "a";
  const auto engine = make_engine(options_, GetParam());
  submit(*engine, request).answer->wait();
  EXPECT_EQ(planned_parts(*engine, request).slices, 3);
  request.tenant = "b";
  const CachedParts other = found_as_planned(*engine, request);
  EXPECT_EQ(other.tokens, 0);
  EXPECT_EQ(other.slices, 0);
}

TEST_P(CachedPartsOf, AnEditedPictureAreTheTextBeforeItUntilItWasCut) {
  const auto engine = make_engine(options_, GetParam());
  submit(*engine, case_.request).answer->wait();
  const Request edited = with_picture(case_, png_with_inverted(case_, 340, 60, 80, 80));
  const CachedParts unknown = planned_parts(*engine, edited);
  EXPECT_EQ(unknown.tokens, text_);
  EXPECT_EQ(unknown.slices, 0);
  submit(*engine, edited).answer->wait();
  EXPECT_EQ(found_as_planned(*engine, edited).slices, 3);
  Request coarse = edited;
  coarse.messages[0].parts[0].rule.detail = ImageDetail::low;
  EXPECT_EQ(planned_parts(*engine, coarse).slices, 0) << "it is cut in another way";
}

TEST_P(CachedPartsOf, AnotherQuestionAndAnotherBeginning) {
  const auto engine = make_engine(options_, GetParam());
  submit(*engine, case_.request).answer->wait();
  Request question = case_.request;
  question.messages[0].parts.push_back({.text = "And what is behind it?"});
  const CachedParts behind = found_as_planned(*engine, question);
  EXPECT_GT(behind.tokens, text_);
  EXPECT_EQ(behind.slices, 3);
  Request begun = case_.request;
  begun.messages.insert(begun.messages.begin(), Message{.role = "system", .parts = {{.text = "Be brief."}}});
  const CachedParts before = found_as_planned(*engine, begun);
  EXPECT_LE(before.tokens, text_);
  EXPECT_EQ(before.slices, 3);
}

// The store holds the slices of one picture alone.
TEST_P(CachedPartsOf, WhatTheStoreHasForgotten) {
  for (const bool on_the_host : {false, true}) {
    EngineOptions small = options_;
    small.image.max_slices = 2;
    small.visual_cache_bytes = 0;
    small.prefix_cache = !on_the_host;
    if (on_the_host) small.visual_cache_host_bytes = 8 << 20;
    const auto engine = make_engine(small, GetParam());
    submit(*engine, case_.request).answer->wait();
    submit(*engine, with_picture(case_, flipped_png(case_))).answer->wait();
    const CachedParts parts = found_as_planned(*engine, case_.request);
    EXPECT_GE(parts.slices, 2);
    EXPECT_EQ(parts.tokens > 0, !on_the_host);
  }
}

TEST_P(CachedPartsOf, TextAlone) {
  Request text;
  text.messages.push_back({.role = "user", .parts = {{.text = "Tell of the sea and of those who sail it."}}});
  text.stop.max_tokens = 2;
  const auto engine = make_engine(options_, GetParam());
  submit(*engine, text).answer->wait();
  Request longer = text;
  longer.messages[0].parts[0].text += " Be brief.";
  EXPECT_GT(found_as_planned(*engine, longer).tokens, 0);
  Request scored = text;
  scored.prompt_logprobs = 0;
  EXPECT_EQ(found_as_planned(*engine, scored).tokens, 0) << "all of it is computed";
}

INSTANTIATE_TEST_SUITE_P(Ranks, CachedPartsOf, testing::Values(ranks(1, 0), ranks(1, 2)));

}  // namespace
}  // namespace uhd
