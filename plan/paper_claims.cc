#include "plan/paper_claims.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "plan/geometries.h"
#include "plan/picture_strategies.h"

namespace uhd {
namespace {

constexpr Size kPaper{672, 1088};   // the paper's example of cost
constexpr Size kNative{672, 1008};  // its largest resolution: six times 336x336

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}
std::string percent(double share, int digits = 0) { return fixed(100 * share, digits) + " %"; }
std::string tera(double flops) { return fixed(flops / 1e12, 2); }

std::string of_parts(const PictureCost& cost) {
  return message(tera(*cost.flops()), " TFLOP = ", tera(*cost.encoder_flops), " (", cost.views,
                 cost.views == 1 ? " view" : " views", ") + ", tera(*cost.language_flops), " (",
                 cost.tokens + cost.separators, " rows of Vicuna 13B)");
}

PaperClaim compute(int queries, const std::vector<int>& widths, const std::string& published) {
  const PictureCost base = llava_15_cost(kPaper);
  PaperClaim claim{.claim = message("computation at 672x1088 of LLaVA-1.5's, ", queries, " queries a slice"),
                   .published = published};
  for (const int width : widths) {
    const PictureCost cost = llava_uhd_cost(kPaper, queries, width);
    const double share = *cost.flops() / *base.flops();
    if (claim.ours.empty()) claim.figure = share;
    claim.ours += (claim.ours.empty() ? "" : " to ") + percent(share, 1);
    claim.derivation +=
        message(claim.derivation.empty() ? "" : "; ", "resampler of width ", width, ": ", of_parts(cost));
  }
  claim.derivation += "; LLaVA-1.5: " + of_parts(base) + ". Two operations a multiply-add";
  return claim;
}

PaperClaim tokens() {
  const PictureCost ours = llava_uhd_cost(kNative, 64, k13b.hidden), one = llava_15_cost(kNative);
  return {.claim = "visual tokens at 672x1008",
          .published = "448, against 576 of LLaVA-1.5 at 336x336 and 3456 of its like at this size",
          .ours = message(ours.tokens, " and ", ours.separators, " separators, against ", one.tokens, " and ",
                          6 * one.tokens),
          .derivation = message(ours.views - 1,
                                " slices and an overview, 64 rows each; 24x24 patches; six "
                                "squares of them"),
          .figure = static_cast<double>(ours.tokens)};
}

PaperClaim resolution() {
  const double times = static_cast<double>(kNative.width * kNative.height) / (336.0 * 336.0);
  return {.claim = "resolution against LLaVA-1.5",
          .published = "6 times larger (672x1088)",
          .ours = fixed(times, 2) + " times",
          .derivation = "672 · 1008 / 336², six slices of 336x336, each pixel as it is",
          .figure = times};
}

// The paper's plans over every shape from 1:8 to 8:1 and sizes from 100 to 2600 pixels.
struct Sweep {
  double distortion = 1;             // the most that a slice is stretched one way
  double tallest = 1e9, widest = 0;  // cells' width : height
  double covered_least = 1e9, covered_most = 0;
  int64_t pictures = 0;
};

Sweep sweep() {
  const SlicingConfig config{.scale = 336, .patch = 14, .max_slices = 6};
  Sweep found;
  for (int64_t longest = 100; longest <= 2600; longest += 50) {
    for (int64_t shape = 8; shape <= 64; ++shape) {
      for (const bool wide : {false, true}) {
        const int64_t shorter = std::max<int64_t>(longest * 8 / shape, 1);
        const Size picture = wide ? Size{longest, shorter} : Size{shorter, longest};
        const SlicePlan plan = plan_slices(picture, config);
        ++found.pictures;
        if (plan.slices() == 0) continue;
        const Scale scale = scale_of(plan, config);
        const double stretch = scale.across / scale.down;
        const double shape_of_cell =
            static_cast<double>(plan.cell.width) / static_cast<double>(plan.cell.height);
        found.distortion = std::max({found.distortion, stretch, 1 / stretch});
        found.tallest = std::min(found.tallest, shape_of_cell);
        found.widest = std::max(found.widest, shape_of_cell);
        const double covered = static_cast<double>(plan.slices() * plan.cell.width * plan.cell.height) /
                               static_cast<double>(plan.refined.width * plan.refined.height);
        found.covered_least = std::min(found.covered_least, covered);
        found.covered_most = std::max(found.covered_most, covered);
      }
    }
  }
  return found;
}

void add_shapes(std::vector<PaperClaim>& claims) {
  const Sweep found = sweep();
  claims.push_back({.claim = "any aspect ratio: a slice is stretched by at most",
                    .published = "adaptive to any aspect ratio",
                    .ours = percent(found.distortion - 1, 1),
                    .derivation = message("of ", found.pictures,
                                          " plans of shapes from 1:8 to 8:1; slices "
                                          "have shapes from ",
                                          fixed(found.tallest, 2), " to ", fixed(found.widest, 2),
                                          ", and sides of whole patches"),
                    .figure = found.distortion});
  require(found.covered_least == 1 && found.covered_most == 1, "a plan's cells do not fill it");
  claims.push_back({.claim = "every source pixel is covered once",
                    .published = "no overlap and no padding",
                    .ours = percent(found.covered_most),
                    .derivation = "the cells of a grid lie side by side in the resized picture, and their "
                                  "area is its own in each of "
                                  "these plans",
                    .figure = found.covered_most});
  constexpr std::pair<int, int> kShapes[] = {{1, 1}, {4, 3}, {3, 2}, {16, 9}, {2, 1}, {3, 1}, {4, 1}};
  for (const auto& [width, height] : kShapes) {
    const double share = padded_share(width, height);
    claims.push_back({.claim = message("LLaVA-1.5's padding at ", width, ":", height),
                      .published = "",
                      .ours = percent(share, 1),
                      .derivation = message("1 - ", height, "/", width, " of the square; LLaVA-UHD has none"),
                      .figure = share});
  }
}

}  // namespace

double padded_share(double width, double height) {
  return 1 - std::min(width, height) / std::max(width, height);
}

std::vector<PaperClaim> paper_claims() {
  // The paper does not tell the resampler's width: that of the tower, and that of the language model.
  std::vector<PaperClaim> claims{compute(64, {kTower.hidden, k13b.hidden}, "94 %"),
                                 compute(144, {k13b.hidden}, ""), tokens(), resolution()};
  add_shapes(claims);
  return claims;
}

}  // namespace uhd
