// The pages kept of one request serve the next, to the last bit, and serves nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/engine_fixture.h"

namespace uhd {
namespace {

// A conversation's prompt with log-probabilities, to compare to the last bit.
Request exact(Request request) {
  request.sampling.logprobs = 2;
  return request;
}

void expect_same(const AnswerListener& a, const AnswerListener& b) {
  EXPECT_EQ(a.ids, b.ids);
  ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
  for (size_t i = 0; i < a.logprobs.size(); ++i) {
    EXPECT_EQ(a.logprobs[i].logprob, b.logprobs[i].logprob);
    EXPECT_EQ(a.logprobs[i].top, b.logprobs[i].top);
  }
}

class PrefixCacheOfOneRank : public testing::Test {
 protected:
  static EngineOptions options() {
    EngineOptions options = tiny_options(golden_case("uhd-v1-tiny/golden_image_2slices").model);
    options.page_size = 16;
    return options;
  }
  // The store holds the slices of one picture alone.
  static EngineOptions small_store() {
    EngineOptions small = options();
    small.image.max_slices = 2;  // so many does the picture have
    small.visual_cache_bytes = 0;
    return small;
  }
  static Request flipped(const GoldenCase& c) {
    Request request = c.request;
    request.messages[0].parts[0].image = std::make_shared<const std::string>(flipped_png(c));
    return request;
  }
};

class PrefixCache : public PrefixCacheOfOneRank, public testing::WithParamInterface<ClusterOptions> {};

TEST_P(PrefixCache, ASecondQuestionAboutAPictureComputesItsOwnTextAlone) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(options(), GetParam());
  const Submitted first = submit(*engine, exact(c.request));
  EXPECT_EQ(first.answer->wait().ids, c.ids);
  EXPECT_EQ(first.answer->usage.cached_tokens, 0);
  const double prefilled = metric(*engine, "uhd_prefill_tokens_total");
  const double encoded = metric(*engine, "uhd_slices_encoded_total");
  const Submitted again = submit(*engine, exact(c.request));
  expect_same(again.answer->wait(), *first.answer);
  const Usage& usage = again.answer->usage;
  EXPECT_GE(usage.cached_tokens, (c.prompt_tokens - 1) / 16 * 16 - 16);
  EXPECT_EQ(usage.images[0].cached_slices, usage.images[0].slices + 1) << "and the overview";
  EXPECT_EQ(metric(*engine, "uhd_slices_encoded_total"), encoded);
  EXPECT_EQ(metric(*engine, "uhd_prefix_cached_tokens_total"), usage.cached_tokens);
  EXPECT_LE(metric(*engine, "uhd_prefill_tokens_total") - prefilled,
            c.prompt_tokens - usage.cached_tokens + 16)
      << "but for the text before the picture, which is begun while it is cut";
}

// The visual store forgets rows sooner than pages forget keys and values.
TEST_P(PrefixCache, ASliceWhoseKeysAndValuesAreKeptIsNotEncoded) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(small_store(), GetParam());
  const Submitted first = submit(*engine, exact(c.request));
  EXPECT_EQ(first.answer->wait().ids, c.ids);
  const int pieces = first.answer->usage.images[0].slices + 1;
  submit(*engine, flipped(c)).answer->wait();
  const double encoded = metric(*engine, "uhd_slices_encoded_total");
  EXPECT_EQ(encoded, 2 * pieces);
  const Submitted again = submit(*engine, exact(c.request));
  expect_same(again.answer->wait(), *first.answer);
  const double anew = metric(*engine, "uhd_slices_encoded_total") - encoded;
  EXPECT_LE(anew, 1) << "the last slice shares a page with the text";
  EXPECT_EQ(metric(*engine, "uhd_slices_left_out_total"), pieces - anew);
  EXPECT_EQ(again.answer->usage.images[0].cached_slices, pieces - anew);
}

// A screenshot after an edit: its two slices lie side by side, and the pixels of the right one change.
TEST_P(PrefixCache, OfAnEditedPictureTheChangedSliceAndTheOverviewAreEncodedAlone) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  Request edited = c.request;
  edited.messages[0].parts[0].image =
      std::make_shared<const std::string>(png_with_inverted(c, 340, 60, 80, 80));
  const auto plain = make_engine(options(), GetParam());
  const Submitted alone = submit(*plain, exact(edited));
  alone.answer->wait();
  const auto engine = make_engine(options(), GetParam());
  submit(*engine, c.request).answer->wait();
  const double encoded = metric(*engine, "uhd_slices_encoded_total");
  EXPECT_EQ(encoded, 3) << "two slices and the overview";
  const Submitted second = submit(*engine, exact(edited));
  expect_same(second.answer->wait(), *alone.answer);
  EXPECT_EQ(metric(*engine, "uhd_slices_encoded_total") - encoded, 2);
  EXPECT_EQ(second.answer->usage.images[0].cached_slices, 1);
  // The picture begins with its first slice, of which a separator parts the second.
  const std::vector<int32_t> prompt = std::get<RequestPlan>(engine->plan(edited)).prompt_ids;
  const auto first_slice = std::ranges::find(prompt, -1);
  const auto separator = std::find_if(first_slice, prompt.end(), [](int32_t id) { return id != -1; });
  const auto changed = static_cast<int>(separator - prompt.begin()) + 1;
  EXPECT_EQ(prompt[static_cast<size_t>(changed)], -1);
  EXPECT_LE(second.answer->usage.cached_tokens, changed);
  EXPECT_GT(second.answer->usage.cached_tokens, changed - 2 * 16)
      << "whole pages, but for one of the text before the picture, which is begun while it is cut";
}

// One place and 52 pages. A question of 31 pages waits behind an answer that grows to 48, and loses to it the
// pages of slices that nobody encoded.
TEST_F(PrefixCacheOfOneRank, ASliceThatWasNotEncodedIsEncodedWhenItsPagesAreLost) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  EngineOptions few = small_store();
  few.max_running = 1;
  few.context_length = 768;
  few.kv_memory_bytes = int64_t{52} * 16 * 4 * 2 * 256 * 4;
  const auto engine = make_engine(few, ranks(1, 0));
  const Submitted first = submit(*engine, exact(c.request));
  EXPECT_EQ(first.answer->wait().ids, c.ids);
  submit(*engine, flipped(c)).answer->wait();
  Request text;
  text.messages.push_back({.role = "user", .parts = {{.text = "Go on."}}});
  text.stop.ignore_eos = true;
  const Submitted long_answer = submit(*engine, text);  // it arrives first
  const Submitted again = submit(*engine, exact(c.request));
  expect_same(again.answer->wait(), *first.answer);
  EXPECT_GT(metric(*engine, "uhd_slices_left_out_total"), 0);
  EXPECT_EQ(metric(*engine, "uhd_images_cut_again_total"), 1);
  EXPECT_TRUE(becomes_idle(*engine));
}

TEST_P(PrefixCache, AnotherPictureOfTheSameSizeIsAnotherPrompt) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  Request other = c.request;
  other.messages[0].parts[0].image = std::make_shared<const std::string>(flipped_png(c));
  const auto plain = make_engine(options(), GetParam());
  const Submitted alone = submit(*plain, exact(other));
  alone.answer->wait();
  const auto engine = make_engine(options(), GetParam());
  submit(*engine, c.request).answer->wait();
  const Submitted second = submit(*engine, exact(other));
  expect_same(second.answer->wait(), *alone.answer);
  EXPECT_LT(second.answer->usage.cached_tokens, c.prompt_tokens / 2);
}

TEST_P(PrefixCache, ServesNoOtherTenantAndNobodyWhenItIsOff) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_text");
  const auto cached_of = [&](const EngineOptions& how, const std::string& one, const std::string& other) {
    const auto engine = make_engine(how, GetParam());
    Request request = c.request;
    request.tenant = one;
    EXPECT_EQ(submit(*engine, request).answer->wait().ids, c.ids);
    request.tenant = other;
    const Submitted second = submit(*engine, request);
    EXPECT_EQ(second.answer->wait().ids, c.ids);
    return second.answer->usage.cached_tokens;
  };
  EngineOptions how = options();
  EXPECT_GT(cached_of(how, "a", "a"), 0);
  EXPECT_EQ(cached_of(how, "a", "b"), 0);
  how.share_caches = true;
  EXPECT_GT(cached_of(how, "a", "b"), 0);
  how.prefix_cache = false;
  EXPECT_EQ(cached_of(how, "a", "a"), 0);
}

TEST_P(PrefixCache, SeveralAnswersComputeTheirPromptOnce) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(options(), GetParam());
  Request request = c.request;
  request.n = 4;
  for (const std::vector<int32_t>& ids : answers_of(*engine, request)) EXPECT_EQ(ids, c.ids);
  EXPECT_EQ(metric(*engine, "uhd_prefill_tokens_total"), c.prompt_tokens + 3);
}

TEST_P(PrefixCache, TheNextTurnOfAConversationComputesWhatIsNew) {
  const GoldenCase c = golden_case("uhd-v1-tiny/golden_image_2slices");
  const auto engine = make_engine(options(), GetParam());
  Request request = c.request;
  std::vector<int> computed;
  for (int turn = 0; turn < 4; ++turn) {
    const Submitted s = submit(*engine, request);
    s.answer->wait();
    computed.push_back(s.answer->usage.prompt_tokens - s.answer->usage.cached_tokens);
    request.messages.push_back({"assistant", {{.text = s.answer->text}}});
    request.messages.push_back({"user", {{.text = "And then?"}}});
  }
  for (size_t turn = 1; turn < computed.size(); ++turn) EXPECT_LT(computed[turn], computed[0] / 2) << turn;
}

INSTANTIATE_TEST_SUITE_P(Ranks, PrefixCache, testing::Values(ranks(1, 0), ranks(2, 0), ranks(1, 2)));

}  // namespace
}  // namespace uhd
