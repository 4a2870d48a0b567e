// Runs pictures through slices, tower, compression layer and language model, and compares with the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string_view>

#include "tests/model/golden_cases.h"
#include "tests/model/golden_image.h"

namespace uhd {
namespace {

constexpr Tolerance kVisionF32{2e-4};
constexpr Tolerance kTowerBf16{0.25, 0.015};
constexpr Tolerance kLayerBf16{0.35, 0.025};

GoldenModel model_of(const ModelCase& c) {
  GoldenModel model(c.folder);
  model.take_tower_of_same_weights();
  return model;
}

int64_t patches_of(const ModelCase& c) {
  const GoldenModel model = model_of(c);
  const int patch = model.config.vision->patch;
  int64_t patches = 0;
  for (const GoldenPiece& piece : cut_golden_images(model, c.golden)) {
    patches += int64_t{piece.slice.width / patch} * (piece.slice.height / patch);
  }
  return patches;
}

// Returns the pictures of every model. UHD_SMALL_IMAGES=each keeps the smallest of each model, =weights that
// of each set of weights, which a device does not tell apart in other layouts, and =one the smallest of all:
// an emulated device takes minutes for a large one.
std::vector<ModelCase> image_cases() {
  std::vector<ModelCase> cases = model_cases("golden_image");
  const char* few = std::getenv("UHD_SMALL_IMAGES");
  if (few == nullptr) return cases;
  const std::string_view kept = few;
  std::map<std::filesystem::path, std::pair<int64_t, ModelCase>> smallest;
  for (ModelCase& c : cases) {
    const int64_t patches = patches_of(c);
    const auto of = kept == "one" ? std::filesystem::path() : kept == "weights" ? c.golden.folder : c.folder;
    const auto found = smallest.find(of);
    if (found != smallest.end() && found->second.first <= patches) continue;
    smallest.insert_or_assign(of, std::pair(patches, std::move(c)));
  }
  cases.clear();
  for (auto& [of, found] : smallest) cases.push_back(std::move(found.second));
  return cases;
}

// The rows of all pieces in prompt order, encoded together.
std::vector<float> visual_rows(const GoldenModel& model, const std::vector<GoldenPiece>& pieces,
                               WeightFormat format) {
  const auto backend = test_backend(format);
  VisionEncoder encoder(model.config, model.checkpoint, model.tower(), *backend, format);
  const VisualTokens tokens = encoder.encode(views_of(pieces));
  return host_floats(*backend, tokens.rows);
}

TEST(ImageGoldens, AreFound) { ASSERT_FALSE(image_cases().empty()) << "no golden_image_* under models/"; }

TEST(ImageGoldens, GridsAndSeparatorsAreTheModels) {
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto& object = c.golden.json.as_object();
    const auto* sizes = object.if_contains("patches_hw");
    if (sizes == nullptr) sizes = object.if_contains("tgt_sizes_hw");
    const auto pieces = cut_golden_images(model, c.golden);
    if (sizes != nullptr) {
      ASSERT_EQ(pieces.size(), sizes->as_array().size());
      for (size_t i = 0; i < pieces.size(); ++i) {
        const auto& wanted = sizes->as_array()[i].as_array();
        EXPECT_EQ(pieces[i].slice.height / model.config.vision->patch, wanted[0].to_number<int>());
        EXPECT_EQ(pieces[i].slice.width / model.config.vision->patch, wanted[1].to_number<int>());
      }
    }
    if (const auto* separators = object.if_contains("sep_tokens")) {
      const auto* grid = object.if_contains("grid");
      const size_t columns = grid->is_null() ? 1 : grid->as_array()[0].to_number<size_t>();
      for (size_t i = 0; i < separators->as_array().size(); ++i) {
        const bool row_ends = (i + 1) % columns == 0;
        EXPECT_EQ(row_ends ? model.config.layout.row_separator : model.config.layout.column_separator,
                  std::vector<int32_t>{separators->as_array()[i].to_number<int32_t>()});
      }
    }
  }
}

class ImageGoldensIn : public testing::TestWithParam<WeightFormat> {};

TEST_P(ImageGoldensIn, FeaturesAndVisualTokens) {
  const bool exact = GetParam() == WeightFormat::f32;
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto backend = test_backend(GetParam());
    for (const GoldenPiece& piece : cut_golden_images(model, c.golden)) {
      const std::string dot = piece.name.empty() ? "" : "." + piece.name;
      Golden::Values tower, layer;
      for (const char* prefix : {"vit", "vpm"}) {
        if (auto values = c.golden.tensor(prefix + dot); values.found()) tower = values;
      }
      for (const char* prefix : {"proj", "resampler"}) {
        if (auto values = c.golden.tensor(prefix + dot); values.found()) layer = values;
      }
      if (!tower.found() && !layer.found()) continue;
      const PieceResult found = run_piece(*backend, GetParam(), model, piece.slice);
      if (tower.found()) {
        expect_close(found.features, tower.values, exact ? kVisionF32 : kTowerBf16,
                     c.name() + " tower" + dot);
      }
      if (layer.found()) {
        expect_close(found.tokens, layer.values, exact ? kVisionF32 : kLayerBf16, c.name() + " layer" + dot);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ImageGoldensIn, testing::Values(WeightFormat::f32, WeightFormat::bf16));

TEST(ImageGoldens, PackingDoesNotChangeAPiece) {
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto pieces = cut_golden_images(model, c.golden);
    const auto together = visual_rows(model, pieces, WeightFormat::f32);
    std::vector<float> alone;
    for (const GoldenPiece& piece : pieces) {
      const auto rows = visual_rows(model, {piece}, WeightFormat::f32);
      alone.insert(alone.end(), rows.begin(), rows.end());
    }
    expect_close(together, alone, {3e-6}, c.name() + " together and alone");
  }
}

TEST(ImageGoldens, SmallPassesGiveTheSameRows) {
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto pieces = cut_golden_images(model, c.golden);
    const auto backend = test_backend(WeightFormat::f32);
    int64_t largest = 0;
    for (const GoldenPiece& piece : pieces) {
      const int patch = model.config.vision->patch;
      largest = std::max(largest, int64_t{piece.slice.width / patch} * (piece.slice.height / patch));
    }
    VisionEncoder encoder(model.config, model.checkpoint, model.tower(), *backend, WeightFormat::f32,
                          {.max_patches = largest, .max_slices = 2});
    const VisualTokens tokens = encoder.encode(views_of(pieces));
    expect_close(host_floats(*backend, tokens.rows), visual_rows(model, pieces, WeightFormat::f32), {3e-6},
                 c.name() + " in small passes");
  }
}

TEST(ImageGoldens, SlicesThatLieAreRefused) {
  const auto cases = image_cases();
  ASSERT_FALSE(cases.empty());
  const GoldenModel model = model_of(cases.front());
  const auto backend = test_backend(WeightFormat::f32);
  VisionEncoder encoder(model.config, model.checkpoint, model.tower(), *backend, WeightFormat::f32,
                        {.max_patches = 16, .max_slices = 2});
  const int p = model.config.vision->patch;
  const std::vector<uint8_t> pixels(static_cast<size_t>(5 * p) * static_cast<size_t>(5 * p) * 3);
  const auto bytes = [&](int width, int height) {
    return std::span(pixels).first(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  };
  const SliceView wrong[] = {{p + 1, p, bytes(p + 1, p)}, {0, p, {}}, {-p, -p, bytes(p, p)},
                             {p, p, bytes(p, 2 * p)},     {p, p, {}}, {5 * p, 5 * p, bytes(5 * p, 5 * p)}};
  for (const SliceView& slice : wrong) {
    EXPECT_THROW(encoder.encode({&slice, 1}), Error) << slice.width << "x" << slice.height;
  }
  const SliceView right{2 * p, p, bytes(2 * p, p)};
  EXPECT_GT(encoder.encode({&right, 1}).rows.rows(), 0);
}

class ImageGoldensOnRanks : public testing::TestWithParam<int> {};

TEST_P(ImageGoldensOnRanks, GreedyIdsAreExactInF32) {
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto rows = visual_rows(model, cut_golden_images(model, c.golden), WeightFormat::f32);
    const auto prompt = golden_prompt(model, c.golden, rows);
    EXPECT_EQ(prompt.ids.size(), c.golden.json.at("embeds_len").to_number<size_t>());
    const auto wanted = c.golden.ids("greedy_ids");
    const auto run = run_language_model(
        model, prompt,
        {.ranks = GetParam(), .steps = static_cast<int>(wanted.size()), .chunk = 190, .page_size = 64});
    EXPECT_EQ(run.ids, wanted);
    expect_first_logits(c, model, run, kLogitsF32);
  }
}

TEST_P(ImageGoldensOnRanks, LogitsInBf16StayWithinTheMeasuredNoise) {
  for (const ModelCase& c : image_cases()) {
    SCOPED_TRACE(c.name());
    const GoldenModel model = model_of(c);
    const auto rows = visual_rows(model, cut_golden_images(model, c.golden), WeightFormat::bf16);
    const auto wanted = c.golden.ids("greedy_ids");
    const auto run = run_language_model(model, golden_prompt(model, c.golden, rows),
                                        {.ranks = GetParam(),
                                         .format = WeightFormat::bf16,
                                         .steps = static_cast<int>(wanted.size()),
                                         .chunk = 512,
                                         .forced = wanted});
    expect_first_logits(c, model, run, logits_in_bf16(c));
    expect_clear_ids(c, run);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, ImageGoldensOnRanks, testing::Values(1, 2, 4));

}  // namespace
}  // namespace uhd
