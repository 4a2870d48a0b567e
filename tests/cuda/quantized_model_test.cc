// Checks that whole models with quantized activations are near the same quantized matrices with plain
// activations.
#include <gtest/gtest.h>

#include <cmath>

#include "emulation/streams.h"
#include "kernels/cuda/quantized.h"
#include "kernels/plugin.h"
#include "tests/model/golden_run.h"

namespace uhd {

namespace {
bool quantize_activations = false;  // for the ranks of the next run
}

std::unique_ptr<Backend> test_backend(WeightFormat format) {
  return make_cuda_backend({.kind = "cuda", .quantize_activations = quantize_activations, .compute = format});
}

namespace {

// The logits of every position of a prompt in one step, then of a few decoded ones, that attend to it.
std::vector<float> logits_of(const GoldenModel& model, WeightFormat matrices, bool quantized, int ranks = 1) {
  constexpr int kTokens = 50;
  static_assert(kTokens > cuda::kFewRows);
  EmbeddedPrompt prompt;
  for (int i = 0; i < kTokens; ++i) prompt.ids.push_back(5 + i * 37 % 700);
  quantize_activations = quantized;
  const RunResult run = run_language_model(model, prompt,
                                           {.ranks = ranks,
                                            .format = WeightFormat::f32,
                                            .matrices = matrices,
                                            .steps = 3,
                                            .chunk = kTokens,
                                            .tail = kTokens,
                                            .forced = {7, 8, 9}});
  quantize_activations = false;
  std::vector<float> all = run.tail_logits;
  for (const auto& step : run.logits) all.insert(all.end(), step.begin(), step.end());
  return all;
}

// Returns a bound of the logits' relative RMS error. In RMS, codes change a row by this much: e4m3 errs by at
// most 1/16 of a value, evenly spread, which is 1/16/√3; int8 errs by scale/√12 with scale = m/127, and the
// largest m of a row is taken to be at most 8 times its RMS. The rest is as in tests/model/quantized_model.h:
// the errors of the up to four successive products of each layer and of the head are independent, and the
// factor two allows for softmax and gates.
double bound(const GoldenModel& model, WeightFormat format) {
  const double left_out = format == WeightFormat::fp8 ? 1 / (16 * std::sqrt(3)) : 8 / (127 * std::sqrt(12));
  return 2 * left_out * std::sqrt(1 + 4 * model.config.language.layers);
}

class QuantizedModel : public testing::TestWithParam<WeightFormat> {
 protected:
  QuantizedModel() { emulation::set_architecture(90); }
  ~QuantizedModel() override { emulation::set_architecture(80); }
  // The cases have no biases and some, and a vocabulary that is not whole sixteens.
  static std::vector<GoldenModel> models() {
    std::vector<GoldenModel> found;
    for (const auto& folder : golden_model_folders()) {
      const std::string name = folder.filename().string();
      if (name == "llava15-tiny-orig" || name == "minicpmv26-tiny") found.emplace_back(folder);
    }
    return found;
  }
};

TEST_P(QuantizedModel, HasLogitsNearThoseOfWholeActivations) {
  const auto models = this->models();
  ASSERT_EQ(models.size(), 2u);
  for (const GoldenModel& model : models) {
    SCOPED_TRACE(model.config.directory.string());
    const auto quantized = logits_of(model, GetParam(), true), whole = logits_of(model, GetParam(), false);
    const Difference d = difference(quantized, whole);
    RecordProperty(model.config.directory.filename().string(), std::to_string(d.relative_rms));
    ASSERT_EQ(quantized.size(), whole.size());
    EXPECT_LT(d.relative_rms, bound(model, GetParam()));
    EXPECT_GT(d.relative_rms, 1e-3) << "activations were not quantized";
  }
}

// A rank's scales are of its own columns, so ranks differ as quantizing does, not as the order of sums.
TEST_P(QuantizedModel, HasLogitsNearThoseOfOneRankOnTwo) {
  const GoldenModel model = std::move(models().front());
  const Difference d = difference(logits_of(model, GetParam(), true, 2), logits_of(model, GetParam(), true));
  EXPECT_LT(d.relative_rms, bound(model, GetParam()) * std::sqrt(2));
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedModel, testing::Values(WeightFormat::fp8, WeightFormat::int8),
                         [](const auto& format) { return std::string(name_of(format.param)); });

}  // namespace
}  // namespace uhd
