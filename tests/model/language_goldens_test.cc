// Compares the language model with the reference: hidden states, logits, greedy ids, in f32 and bf16, on 1, 2
// and 4 ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "model/language/rope_table.h"
#include "model/weights/parameters.h"
#include "tests/model/golden_cases.h"

namespace uhd {
namespace {

constexpr Tolerance kHiddenF32{1e-3};

std::vector<ModelCase> text_cases() { return model_cases("golden_text"); }

// The last `rows` rows of [n, width].
std::span<const float> last_rows(const std::vector<float>& values, size_t rows, size_t width) {
  const size_t count = std::min(values.size(), rows * width);
  return std::span(values).subspan(values.size() - count);
}

TEST(LanguageGoldens, AreFound) { ASSERT_FALSE(text_cases().empty()) << "no golden_text under models/"; }

TEST(LanguageGoldens, EveryCheckpointIsComplete) {
  ASSERT_FALSE(golden_model_folders().empty());
  for (const auto& folder : golden_model_folders()) {
    SCOPED_TRACE(folder.string());
    const GoldenModel model(folder);
    EXPECT_THAT(problems_of(model.config, model.checkpoint, model.tower_only.get()), testing::IsEmpty());
  }
}

TEST(LanguageGoldens, StagesAndLogitsInF32) {
  for (const ModelCase& c : text_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model(c.folder);
    const auto wanted_tail = c.golden.tensor_names("logits_last");
    const int tail = wanted_tail.empty() ? 1 : static_cast<int>(c.golden.tensor(wanted_tail[0]).shape[0]);
    const auto run = run_language_model(model, {c.golden.ids("input_ids"), {}},
                                        {.steps = 8, .tail = tail, .stages = true});
    expect_first_logits(c, model, run, kLogitsF32);
    for (const auto& name : wanted_tail) {
      const auto wanted = c.golden.tensor(name);
      expect_close(first_columns(run.tail_logits, static_cast<size_t>(model.config.language.vocabulary),
                                 static_cast<size_t>(wanted.shape[1])),
                   wanted.values, kLogitsF32, c.name() + " " + name);
    }
    // "hidden.3.last24": stage and rows.
    for (const char* prefix : {"hidden.", "final_norm."}) {
      for (const auto& name : c.golden.tensor_names(prefix)) {
        const std::string stage = name.substr(0, name.rfind(".last"));
        const auto wanted = c.golden.tensor(name);
        ASSERT_TRUE(run.stages.contains(stage)) << stage;
        expect_close(last_rows(run.stages.at(stage), static_cast<size_t>(wanted.shape[0]),
                               static_cast<size_t>(wanted.shape[1])),
                     wanted.values, kHiddenF32, c.name() + " " + name);
      }
    }
  }
}

class LanguageGoldensOnRanks : public testing::TestWithParam<int> {};

TEST_P(LanguageGoldensOnRanks, GreedyIdsAreExactInF32) {
  for (const ModelCase& c : text_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model(c.folder);
    const auto wanted = c.golden.ids("greedy_ids");
    const auto run = run_language_model(
        model, {c.golden.ids("input_ids"), {}},
        {.ranks = GetParam(), .steps = static_cast<int>(wanted.size()), .chunk = 17, .page_size = 8});
    EXPECT_EQ(run.ids, wanted);
    expect_first_logits(c, model, run, kLogitsF32);
    EXPECT_EQ(run.all_reduces, 2 * static_cast<size_t>(model.config.language.layers) + 1);
  }
}

// Eight ranks, where the heads allow it: more ranks than key/value heads repeat those.
TEST(LanguageGoldens, EightRanksAgree) {
  for (const ModelCase& c : text_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model(c.folder);
    const LanguageConfig& language = model.config.language;
    if (language.heads % 8 != 0 || language.intermediate % 8 != 0) continue;
    const auto run = run_language_model(model, {c.golden.ids("input_ids"), {}}, {.ranks = 8, .steps = 8});
    const auto wanted = c.golden.ids("greedy_ids");
    EXPECT_TRUE(std::equal(run.ids.begin(), run.ids.end(), wanted.begin()));
    expect_first_logits(c, model, run, kLogitsF32);
  }
}

// The cosines and sines of both lists of factors, [rows, head_dim] at every seventh position: the published
// code repeats a half.
TEST(LanguageGoldens, LongRopeTablesAreTheModels) {
  for (const ModelCase& c : model_cases("golden_longrope")) {
    const LanguageConfig language = GoldenModel(c.folder).config.language;
    const auto half = static_cast<size_t>(language.head_dim) / 2;
    for (const bool beyond : {false, true}) {
      const std::string name = beyond ? "rope.long." : "rope.short.";
      const auto cosines = c.golden.tensor(name + "cos"), sines = c.golden.tensor(name + "sin");
      ASSERT_TRUE(cosines.found() && sines.found());
      const int original = language.rope.original_context;
      const auto table = rope_table(language, beyond ? language.context : original);
      for (size_t row = 0; row < static_cast<size_t>(cosines.shape[0]); ++row) {
        const float* own = table.data() + row * 7 * 2 * half;
        expect_close({own, half}, std::span(cosines.values).subspan(row * 2 * half, half), {2e-6}, name);
        expect_close({own + half, half}, std::span(sines.values).subspan(row * 2 * half, half), {2e-6}, name);
      }
    }
  }
}

// The factors are those of the context that is served: a short prompt in a long context has the long ones,
// and an answer may cross the original length.
TEST_P(LanguageGoldensOnRanks, LongRopeGoesByTheContextAndNotByThePrompt) {
  for (const ModelCase& c : model_cases("golden_longrope")) {
    const GoldenModel model(c.folder);
    for (const char* name : {"short_prompt_long_factors", "crossing_long_factors"}) {
      SCOPED_TRACE(name);
      const Golden part{name, c.folder, c.golden.json.at(name), {}, {}};
      const auto wanted = part.ids("greedy_ids");
      const auto run = run_language_model(model, {part.ids("input_ids"), {}},
                                          {.ranks = GetParam(),
                                           .steps = static_cast<int>(wanted.size()),
                                           .chunk = 17,
                                           .page_size = 8,
                                           .context = model.config.language.context});
      EXPECT_EQ(run.ids, wanted);
      const auto logits = c.golden.tensor(std::string(name) + ".greedy_logits_first8");
      ASSERT_TRUE(logits.found());
      for (size_t i = 0; i < 8; ++i) {
        const auto width = static_cast<size_t>(logits.shape[1]);
        expect_close(run.logits[i], std::span(logits.values).subspan(i * width, width), kLogitsF32, name);
      }
    }
  }
}

TEST_P(LanguageGoldensOnRanks, LogitsInBf16StayWithinTheMeasuredNoise) {
  for (const ModelCase& c : text_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model(c.folder);
    const auto wanted = c.golden.ids("greedy_ids");
    const auto run = run_language_model(model, {c.golden.ids("input_ids"), {}},
                                        {.ranks = GetParam(),
                                         .format = WeightFormat::bf16,
                                         .steps = static_cast<int>(wanted.size()),
                                         .forced = wanted});
    expect_first_logits(c, model, run, logits_in_bf16(c));
    expect_clear_ids(c, run);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, LanguageGoldensOnRanks, testing::Values(1, 2, 4));

}  // namespace
}  // namespace uhd
