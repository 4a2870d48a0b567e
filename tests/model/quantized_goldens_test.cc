// Checks that the language model with quantized matrices is near the one in bf16, and is the very model that
// its codes stand for, on any number of ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/model/golden_cases.h"
#include "tests/model/quantized_model.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();

// Returns one text of each model.
std::vector<ModelCase> one_text_of_each() {
  std::vector<ModelCase> cases;
  std::set<std::filesystem::path> folders;
  for (ModelCase& c : model_cases("golden_text")) {
    if (folders.insert(c.folder).second) cases.push_back(std::move(c));
  }
  return cases;
}

// Logits of the first steps, fed the reference's ids.
std::vector<float> logits_of(const ModelCase& c, const GoldenModel& model, WeightFormat format,
                             std::optional<WeightFormat> matrices, int ranks = 1) {
  const auto run = run_language_model(model, {c.golden.ids("input_ids"), {}},
                                      {.ranks = ranks,
                                       .format = format,
                                       .matrices = matrices,
                                       .steps = 4,
                                       .chunk = 40,
                                       .forced = c.golden.ids("greedy_ids")});
  std::vector<float> all;
  for (const auto& step : run.logits) all.insert(all.end(), step.begin(), step.end());
  return all;
}

class QuantizedGoldens : public testing::TestWithParam<WeightFormat> {};

TEST_P(QuantizedGoldens, LogitsAreNearThoseInBf16) {
  const auto cases = one_text_of_each();
  ASSERT_FALSE(cases.empty());
  for (const ModelCase& c : cases) {
    const GoldenModel model(c.folder);
    // A model that makes more of the noise of bf16 than others does so with that of codes too.
    const double made_of_noise = logits_in_bf16(c).relative_rms / kLogitsBf16.relative_rms;
    expect_close(logits_of(c, model, WeightFormat::bf16, GetParam()),
                 logits_of(c, model, WeightFormat::bf16, {}),
                 {kAny, made_of_noise * logits_bound(model, GetParam())},
                 c.name() + " in " + std::string(name_of(GetParam())));
  }
}

TEST_P(QuantizedGoldens, IsTheModelThatItsCodesStandFor) {
  for (const ModelCase& c : one_text_of_each()) {
    const GoldenModel model(c.folder);
    if (model.config.language.tied) continue;
    const TemporaryDirectory directory;
    const GoldenModel held(write_dequantized(c.folder, GetParam(), directory.path()));
    // Products round activations to bf16; the rest is f32 in both.
    expect_close(logits_of(c, model, WeightFormat::f32, GetParam()),
                 logits_of(c, held, WeightFormat::f32, {}), kLogitsBf16,
                 c.name() + " in " + std::string(name_of(GetParam())));
  }
}

// The scales are those of the whole rows, so ranks differ by the order of sums alone; by less than bf16 does.
TEST_P(QuantizedGoldens, RanksHoldTheSameCodes) {
  for (const ModelCase& c : one_text_of_each()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model(c.folder);
    if (GetParam() == WeightFormat::int4 && model.config.language.intermediate % 64 != 0) {
      EXPECT_THAT([&] { logits_of(c, model, WeightFormat::f32, GetParam(), 2); },
                  testing::ThrowsMessage<Error>(testing::HasSubstr("are not whole groups of 32 for int4")));
      continue;
    }
    expect_close(logits_of(c, model, WeightFormat::f32, GetParam(), 2),
                 logits_of(c, model, WeightFormat::f32, GetParam()), kLogitsBf16,
                 c.name() + " on two ranks in " + std::string(name_of(GetParam())));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedGoldens,
                         testing::Values(WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4),
                         [](const auto& format) { return std::string(name_of(format.param)); });

}  // namespace
}  // namespace uhd
