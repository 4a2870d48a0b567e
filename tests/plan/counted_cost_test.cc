// Holds the cost model to what the CPU's loops really did, for every model of the goldens and every format of
// weights: products, and the bytes of weights, keys and values that a decode step reads.
#include <gtest/gtest.h>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/isa.h"
#include "plan/step_cost.h"
#include "tests/model/golden_cases.h"
#include "tests/model/golden_image.h"
#include "tests/plan/counting_table.h"

namespace uhd {

namespace {
bool counts_codes = false;  // the next backends make codes of activations
}

std::unique_ptr<Backend> test_backend(WeightFormat format) {
  const BackendOptions options{.threads = 1, .quantize_activations = counts_codes, .compute = format};
  return std::make_unique<cpu::Backend>(options, counting_table(cpu::choose_table("auto")));
}

namespace {

constexpr WeightFormat kCountedFormats[] = {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8,
                                            WeightFormat::int8, WeightFormat::int4};
constexpr double kAgreement = 0.01;

void expect_agreement(double counted, double modelled, const std::string& what) {
  EXPECT_GT(counted, 0) << what;
  EXPECT_NEAR(counted / modelled, 1, kAgreement)
      << what << ": counted " << counted << ", modelled " << modelled;
}

Counted run_counted(const GoldenModel& model, const Golden& golden, WeightFormat format, int chunk, int steps,
                    bool activations = false) {
  const bool codes = is_quantized(format);
  RunOptions options{.format = codes ? WeightFormat::bf16 : format, .steps = steps, .chunk = chunk};
  if (codes) options.matrices = format;
  take_counted();
  counts_codes = activations;
  run_language_model(model, {golden.ids("input_ids"), {}}, options);
  counts_codes = false;
  return take_counted();
}

// A prompt in chunks, with the logits of its last row, and then one token a step.
double modelled_flops(const LanguageConfig& language, int64_t length, int chunk, int steps) {
  double flops = 0;
  for (int64_t first = 0; first < length; first += chunk) {
    const int64_t rows = std::min<int64_t>(chunk, length - first);
    const AttentionSpan span{rows, first + rows};
    flops += language_step_cost(language, {&span, 1}, first + rows == length ? 1 : 0, 1).total().flops;
  }
  for (int step = 1; step < steps; ++step) {
    const AttentionSpan span{1, length + step};
    flops += language_step_cost(language, {&span, 1}, 1, 1).total().flops;
  }
  return flops;
}

TEST(CountedCost, ProductsOfTheLanguageModel) {
  const auto cases = model_cases("golden_text");
  ASSERT_FALSE(cases.empty());
  for (const ModelCase& c : cases) {
    const GoldenModel model(c.folder);
    const auto length = static_cast<int64_t>(c.golden.ids("input_ids").size());
    for (const WeightFormat format : kCountedFormats) {
      const int chunk = format == WeightFormat::bf16 ? 17 : 100;
      const Counted counted = run_counted(model, c.golden, format, chunk, 3);
      expect_agreement(2 * counted.multiply_adds, modelled_flops(model.config.language, length, chunk, 3),
                       message(c.name(), " in ", name_of(format), ", chunks of ", chunk));
    }
    const Counted counted = run_counted(model, c.golden, WeightFormat::int8, 100, 3, true);
    expect_agreement(2 * counted.multiply_adds, modelled_flops(model.config.language, length, 100, 3),
                     message(c.name(), " in int8 with quantized activations"));
  }
}

// One more step reads the matrices once, and the keys and values of the tokens before it. The table of
// embeddings is not read as a matrix.
TEST(CountedCost, BytesOfADecodeStep) {
  for (const ModelCase& c : model_cases("golden_text")) {
    const GoldenModel model(c.folder);
    const LanguageConfig& language = model.config.language;
    const auto length = static_cast<double>(c.golden.ids("input_ids").size());
    constexpr std::pair<WeightFormat, bool> kRead[] = {{WeightFormat::bf16, false},
                                                       {WeightFormat::fp8, false},
                                                       {WeightFormat::int8, false},
                                                       {WeightFormat::int8, true},
                                                       {WeightFormat::int4, false}};
    for (const auto& [format, activations] : kRead) {
      SCOPED_TRACE(message(c.name(), " in ", name_of(format), activations ? ", activations too" : ""));
      const Counted two = run_counted(model, c.golden, format, 100, 2, activations);
      const Counted three = run_counted(model, c.golden, format, 100, 3, activations);
      const double table = 2.0 * language.vocabulary * language.hidden;
      expect_agreement(three.weight_bytes - two.weight_bytes, weight_bytes(language, 1, format) - table,
                       "weights");
      expect_agreement(three.key_bytes - two.key_bytes, (length + 2) * kv_token_bytes(language, 1),
                       "keys and values");
    }
  }
}

TEST(CountedCost, ProductsOfTheTower) {
  const auto cases = model_cases("golden_image");
  ASSERT_FALSE(cases.empty());
  for (const ModelCase& c : cases) {
    GoldenModel model(c.folder);
    model.take_tower_of_same_weights();
    const auto pieces = cut_golden_images(model, c.golden);
    std::vector<PatchGrid> grids;
    for (const GoldenPiece& piece : pieces) {
      const int patch = model.config.vision->patch;
      grids.push_back({piece.slice.height / patch, piece.slice.width / patch});
    }
    // model.vision_quantize=int8 multiplies codes of the layers' activations; the rest of the tower is bf16.
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f32, WeightFormat::int8}) {
      const auto backend = test_backend(is_quantized(format) ? WeightFormat::bf16 : format);
      VisionEncoder encoder(model.config, model.checkpoint, model.tower(), *backend, format);
      take_counted();
      encoder.encode(views_of(pieces));
      const double modelled =
          vision_cost(*model.config.vision, model.config.resampler, model.config.language.hidden, grids)
              .total()
              .flops;
      expect_agreement(2 * take_counted().multiply_adds, modelled,
                       message(c.name(), " in ", name_of(format)));
    }
  }
}

}  // namespace
}  // namespace uhd
