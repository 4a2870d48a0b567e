#include "plan/picture_strategies.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "plan/geometries.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

constexpr int64_t kLargestSide = 32768;

// CLIP's whole tower is `kTower` in plan/geometries.h. Published configs of the others:
// EVA-CLIP g/14 of BLIP-2, InstructBLIP and MiniGPT-v2 (transformers, Blip2VisionConfig).
constexpr VisionConfig kEva{
    .layers = 39, .total_layers = 39, .hidden = 1408, .heads = 16, .intermediate = 6144, .image = 224};
// OpenCLIP bigG/14 of Qwen-VL, which Monkey takes (Qwen-VL's config.json, "visual").
constexpr VisionConfig kBigG{
    .layers = 48, .total_layers = 48, .hidden = 1664, .heads = 16, .intermediate = 8192, .image = 448};
// SigLIP so400m/14 of MiniCPM-V (its config.json), and MoonViT of LLaVA-UHD v3, of the same width.
constexpr VisionConfig kSo400m{.kind = VisionConfig::Kind::siglip,
                               .layers = 27,
                               .total_layers = 27,
                               .hidden = 1152,
                               .heads = 16,
                               .intermediate = 4304,
                               .image = 980,
                               .post_norm = true};

double product_flops(double rows, double outputs, double inputs) { return 2 * rows * outputs * inputs; }

// Returns the operations of so many layers over views of `patches` patches each; pixels are embedded already.
double layer_flops(const VisionConfig& tower, int layers, double views, double patches) {
  const double w = tower.hidden, t = patches + (tower.kind == VisionConfig::Kind::clip ? 1 : 0);
  const double each =
      product_flops(t, 4 * w, w) + 2 * product_flops(t, tower.intermediate, w) + 4 * t * t * w;
  return layers * views * each;
}
double embedding_flops(const VisionConfig& tower, double views, double patches, double patch) {
  return product_flops(views * patches, tower.hidden, 3 * patch * patch);
}
double tower_flops(const VisionConfig& tower, double views, double patches) {
  return embedding_flops(tower, views, patches, tower.patch) +
         layer_flops(tower, tower.layers, views, patches);
}

// Returns those of Vicuna 13B, whose prompt is the picture alone.
double prefill_flops(int64_t tokens) {
  const AttentionSpan prompt{tokens, tokens};
  return language_step_cost(k13b, {&prompt, 1}, 1, 1).total().flops;
}

void finish(PictureCost& cost) { cost.language_flops = prefill_flops(cost.tokens + cost.separators); }

std::vector<PatchGrid> grids_in(const SlicePlan& plan, int patch) {
  std::vector<PatchGrid> grids;
  grids.reserve(static_cast<size_t>(plan.pieces()));
  for (int i = 0; i < plan.pieces(); ++i) {
    grids.push_back(
        {static_cast<int>(plan.piece(i).height / patch), static_cast<int>(plan.piece(i).width / patch)});
  }
  return grids;
}

Size finest(const SlicePlan& plan) { return plan.slices() > 0 ? plan.refined : plan.overview; }

// Slices of `slicing`, each of which a resampler takes to so many queries.
PictureCost resampled(Size picture, const SlicingConfig& slicing, const VisionConfig& tower,
                      const ResamplerConfig& resampler) {
  const SlicePlan plan = plan_slices(picture, slicing);
  PictureCost cost;
  cost.views = plan.pieces();
  cost.seen = finest(plan);
  cost.tokens = int64_t{resampler.queries} * plan.pieces();
  cost.encoder_flops =
      vision_cost(tower, resampler, k13b.hidden, grids_in(plan, slicing.patch)).total().flops;
  return cost;
}

// LLaVA-UHD, arXiv 2403.11703: S = 336, patches of 14, at most 6 slices in the paper (section 3.1).
const SlicingConfig kPaperSlicing{.scale = 336, .patch = 14, .max_slices = 6};

// MiniCPM-V 2.6, 4.0 and 4.5: config.json's slice_config, 64 queries, widths of the language model.
PictureCost minicpmv(Size picture) {
  const SlicingConfig slicing{
      .scale = 448, .patch = 14, .max_slices = 9, .rounding = SliceRounding::nearest_even};
  const ResamplerConfig resampler{.kind = ResamplerKind::perceiver,
                                  .queries = 64,
                                  .width = k13b.hidden,
                                  .heads = k13b.heads,
                                  .sincos_keys = true};
  PictureCost cost = resampled(picture, slicing, kSo400m, resampler);
  cost.system = "MiniCPM-V 2.6 to 4.5";
  cost.source = "OpenBMB/MiniCPM-V: config.json, MiniCPMVImageProcessor";
  const SlicePlan plan = plan_slices(picture, slicing);
  cost.separators = 2 * plan.pieces() + std::max(plan.rows - 1, 0);  // marks around pieces, newlines
  finish(cost);
  return cost;
}

// LLaVA-UHD v4, arXiv 2605.08985, and MiniCPM-V 4.6 (transformers, minicpmv4_6): slices of multiples of 56
// pixels, at most 36; seven layers see all patches, then 2x2 of them are merged, and at the end 2x2 again.
PictureCost llava_uhd_v4(Size picture) {
  const SlicingConfig slicing{
      .scale = 448, .patch = 56, .max_slices = 36, .rounding = SliceRounding::nearest_even};
  constexpr int kBefore = 7;
  constexpr double kMergerInner = 17216;
  const SlicePlan plan = plan_slices(picture, slicing);
  PictureCost cost{.system = "LLaVA-UHD v4, MiniCPM-V 4.6",
                   .source = "arXiv 2605.08985; transformers, minicpmv4_6",
                   .views = plan.pieces(),
                   .seen = finest(plan),
                   .separators = 2 * plan.pieces() + std::max(plan.rows - 1, 0),
                   .encoder_flops = 0.0};
  const double w = kSo400m.hidden;
  for (int i = 0; i < plan.pieces(); ++i) {
    const auto patches = static_cast<double>(patches_of(plan.piece(i), 14));
    const double merged = patches / 4, rows = patches / 16;
    *cost.encoder_flops +=
        embedding_flops(kSo400m, 1, patches, 14) + layer_flops(kSo400m, kBefore, 1, patches);
    *cost.encoder_flops += product_flops(patches, 4 * w, w) + 4 * patches * 4 * w;  // attention of windows
    *cost.encoder_flops +=
        product_flops(merged, kMergerInner, 4 * w) + product_flops(merged, w, kMergerInner);
    *cost.encoder_flops += layer_flops(kSo400m, kSo400m.layers - kBefore, 1, merged);
    *cost.encoder_flops += product_flops(rows, 4 * w, 4 * w) + product_flops(rows, k13b.hidden, 4 * w);
    cost.tokens += static_cast<int64_t>(rows);
  }
  finish(cost);
  return cost;
}

// LLaVA-UHD v3, arXiv 2511.21150, thunlp/LLaVA-UHD main: one view, of an area between 512² and 1560² and a
// longest side of 5120, floored to 40 pixels; MoonViT with patches of 10, merged by 2x2 after the layers 4
// and 18; a row for each 40x40 pixels.
PictureCost llava_uhd_v3(Size picture) {
  constexpr double kLeast = 512.0 * 512, kMost = 1560.0 * 1560, kLongest = 5120;
  const auto width = static_cast<double>(picture.width), height = static_cast<double>(picture.height);
  double scale = 1;
  if (width * height > kMost) scale = std::sqrt(kMost / (width * height));
  if (width * height < kLeast) scale = std::sqrt(kLeast / (width * height));
  scale = std::min(scale, kLongest / std::max(width, height));
  const auto floored = [&](double side) {
    return std::max<int64_t>(static_cast<int64_t>(side * scale / 40), 1) * 40;
  };
  PictureCost cost{.system = "LLaVA-UHD v3",
                   .source = "arXiv 2511.21150; thunlp/LLaVA-UHD, main",
                   .views = 1,
                   .seen = {floored(width), floored(height)}};
  const auto patches = static_cast<double>(patches_of(cost.seen, 10));
  cost.tokens = patches_of(cost.seen, 40);
  const double w = kSo400m.hidden, rows = patches / 16;
  cost.encoder_flops = embedding_flops(kSo400m, 1, patches, 10) + layer_flops(kSo400m, 5, 1, patches) +
                       layer_flops(kSo400m, 14, 1, patches / 4) + layer_flops(kSo400m, 8, 1, rows) +
                       product_flops(patches + patches / 4, w, 2 * w) + product_flops(rows, k13b.hidden, w) +
                       product_flops(rows, k13b.hidden, k13b.hidden);
  finish(cost);
  return cost;
}

// LLaVA-UHD v2 (AAAI-26; branch LLaVA-UHD-v2): v1's slices in the release's number of 7, and 144 queries.
PictureCost llava_uhd_v2(Size picture) {
  const SlicingConfig slicing{.scale = 336, .patch = 14, .max_slices = 7};
  const SlicePlan plan = plan_slices(picture, slicing);
  PictureCost cost{.system = "LLaVA-UHD v2",
                   .source = "thunlp/LLaVA-UHD, branch LLaVA-UHD-v2",
                   .views = plan.pieces(),
                   .seen = finest(plan),
                   .tokens = int64_t{144} * plan.pieces(),
                   .separators = plan.slices(),
                   .unknown = "its guided upsamplers are not counted"};
  finish(cost);
  return cost;
}

// GPT-4V, OpenAI's documentation "Vision", detail high: scaled into 2048x2048, then the shorter side down to
// 768; 170 tokens for each tile of 512, and 85 for all.
PictureCost gpt_4v(Size picture) {
  double width = static_cast<double>(picture.width), height = static_cast<double>(picture.height);
  const auto shrink = [&](double scale) {
    if (scale >= 1) return;
    width *= scale;
    height *= scale;
  };
  shrink(2048 / std::max(width, height));
  shrink(768 / std::min(width, height));
  PictureCost cost{.system = "GPT-4V",
                   .source = "OpenAI, guide \"Vision\": cost of detail high",
                   .unknown = "encoder and language model are not published"};
  cost.seen = {std::max<int64_t>(std::llround(width), 1), std::max<int64_t>(std::llround(height), 1)};
  const int64_t tiles = ((cost.seen.width + 511) / 512) * ((cost.seen.height + 511) / 512);
  cost.views = tiles + 1;
  cost.tokens = 170 * tiles + 85;
  return cost;
}

// MiniGPT-v2, arXiv 2310.09478: one square of 448; four neighbouring patches become one token.
PictureCost minigpt_v2(Size) {
  PictureCost cost{.system = "MiniGPT-v2",
                   .source = "arXiv 2310.09478, section 2.1",
                   .views = 1,
                   .seen = {448, 448},
                   .tokens = 256};
  cost.encoder_flops = tower_flops(kEva, 1, 1024) + product_flops(256, k13b.hidden, 4.0 * kEva.hidden);
  finish(cost);
  return cost;
}

// BLIP-2, arXiv 2301.12597, and InstructBLIP, arXiv 2305.06500: one square of 224; a Q-Former of BERT's base
// size, which attends to the picture in every other layer, gives 32 tokens.
PictureCost blip_2(Size) {
  constexpr double kQueries = 32, kWidth = 768, kInner = 3072, kSeen = 257;
  constexpr int kLayers = 12, kCrossing = kLayers / 2;
  PictureCost cost{.system = "BLIP-2, InstructBLIP",
                   .source = "arXiv 2301.12597, 2305.06500; transformers, blip_2",
                   .views = 1,
                   .seen = {224, 224},
                   .tokens = 32};
  const double self = product_flops(kQueries, 4 * kWidth, kWidth) + 4 * kQueries * kQueries * kWidth +
                      2 * product_flops(kQueries, kInner, kWidth);
  const double crossed = product_flops(kQueries, 2 * kWidth, kWidth) +
                         product_flops(kSeen, 2 * kWidth, kEva.hidden) + 4 * kQueries * kSeen * kWidth;
  cost.encoder_flops = tower_flops(kEva, 1, 256) + kLayers * self + kCrossing * crossed +
                       product_flops(kQueries, k13b.hidden, kWidth);
  finish(cost);
  return cost;
}

// Fuyu-8B (Adept, 2023; transformers, fuyu): no encoder. A picture is shrunk into 1920x1080, patches of 30
// are tokens by one product, and each row of them ends in a token for a new line.
PictureCost fuyu(Size picture) {
  const auto width = static_cast<double>(picture.width), height = static_cast<double>(picture.height);
  const double scale = std::min({1.0, 1920 / width, 1080 / height});
  PictureCost cost{.system = "Fuyu-8B", .source = "Adept's announcement; transformers, fuyu", .views = 1};
  const auto side = [&](double length) { return std::max<int64_t>(static_cast<int64_t>(length * scale), 1); };
  cost.seen = {side(width), side(height)};
  const int64_t rows = (cost.seen.height + 29) / 30;
  cost.tokens = rows * ((cost.seen.width + 29) / 30);
  cost.separators = rows;
  cost.encoder_flops = product_flops(static_cast<double>(cost.tokens), k13b.hidden, 3 * 30 * 30);
  finish(cost);
  return cost;
}

// Monkey, arXiv 2311.06607: every picture becomes 896x1344, six windows of 448 and the whole in one, each of
// 256 tokens by Qwen-VL's resampler (width 4096). Its adapters (LoRA) are left out.
PictureCost monkey(Size) {
  const ResamplerConfig resampler{
      .kind = ResamplerKind::perceiver, .queries = 256, .width = 4096, .heads = 32};
  PictureCost cost{.system = "Monkey",
                   .source = "arXiv 2311.06607, section 3",
                   .views = 7,
                   .seen = {896, 1344},
                   .tokens = int64_t{7} * 256};
  cost.encoder_flops =
      vision_cost(kBigG, resampler, k13b.hidden, std::vector<PatchGrid>(7, {32, 32})).total().flops;
  finish(cost);
  return cost;
}

}  // namespace

std::optional<double> PictureCost::flops() const {
  if (!encoder_flops || !language_flops) return std::nullopt;
  return *encoder_flops + *language_flops;
}

// LLaVA-1.5, arXiv 2310.03744: one square of 336, padded; a token for each of 576 patches.
PictureCost llava_15_cost(Size) {
  PictureCost cost{
      .system = "LLaVA-1.5", .source = "arXiv 2310.03744", .views = 1, .seen = {336, 336}, .tokens = 576};
  const PatchGrid view{24, 24};
  cost.encoder_flops =
      vision_cost(kTower, {.kind = ResamplerKind::mlp}, k13b.hidden, {&view, 1}).total().flops;
  finish(cost);
  return cost;
}

PictureCost llava_uhd_cost(Size picture, int queries, int width) {
  const bool released = queries == 144;
  const ResamplerConfig resampler{.kind = released ? ResamplerKind::spatial : ResamplerKind::perceiver,
                                  .queries = queries,
                                  .width = width,
                                  .heads = std::max(1, width / 128)};
  PictureCost cost = resampled(picture, kPaperSlicing, kTower, resampler);
  cost.system = message("LLaVA-UHD v1, ", queries, " queries");
  cost.source = released ? "thunlp/LLaVA-UHD, branch LLaVA-UHD-v1" : "arXiv 2403.11703, section 3";
  cost.separators = cost.views - 1;  // one after every slice
  finish(cost);
  return cost;
}

std::vector<PictureCost> picture_costs(Size picture) {
  require(picture.width >= 1 && picture.height >= 1 && picture.width <= kLargestSide &&
              picture.height <= kLargestSide,
          "a picture of ", picture.width, "x", picture.height, " pixels: sides are within 1 to ",
          kLargestSide);
  return {llava_15_cost(picture),
          blip_2(picture),
          minigpt_v2(picture),
          fuyu(picture),
          monkey(picture),
          gpt_4v(picture),
          llava_uhd_cost(picture, 64, k13b.hidden),
          llava_uhd_cost(picture, 144, k13b.hidden),
          llava_uhd_v2(picture),
          llava_uhd_v3(picture),
          llava_uhd_v4(picture),
          minicpmv(picture)};
}

}  // namespace uhd
