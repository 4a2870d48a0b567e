#include "model/vision/slice_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "model/vision/slice_rows.h"

namespace uhd {
namespace {

constexpr int64_t kMaxSide = std::numeric_limits<int32_t>::max();
constexpr int kMaxScale = 1 << 16;
constexpr int kMaxSlices = 1 << 16;

struct RealSize {
  double width, height;
};

struct Grid {
  int columns = 1;
  int rows = 1;
};

// Every number here is a double where the published code has one: a grid or a side may depend on the last
// bit.
class Planner {
 public:
  explicit Planner(const SlicingConfig& config) : config_(config) {}

  // The length nearest to (or next below) `length` that `unit` divides; at least one unit.
  double divisible(double length, double unit) const {
    const double units = length / unit;
    const double whole = config_.rounding == SliceRounding::floor ? std::floor(units) : std::nearbyint(units);
    return std::max(whole * unit, unit);
  }

  // The size with the shape of (width, height) and an area of about scale²; smaller images are scaled up only
  // if allowed.
  Size best_size(RealSize size, bool allow_upscale) const {
    const double scale = config_.scale;
    if (size.width * size.height > scale * scale || allow_upscale) {
      const double aspect = size.width / size.height;
      size.height = std::trunc(scale / std::sqrt(aspect));
      size.width = std::trunc(size.height * aspect);
    }
    return {static_cast<int64_t>(divisible(size.width, config_.patch)),
            static_cast<int64_t>(divisible(size.height, config_.patch))};
  }

  int ideal_slices(RealSize source) const {
    const double ratio = source.width * source.height / (static_cast<double>(config_.scale) * config_.scale);
    return static_cast<int>(std::min(std::ceil(ratio), static_cast<double>(config_.max_slices)));
  }

  // Among the grids of ideal - 1, ideal and ideal + 1 slices, the one whose shape is nearest to the image's
  // in |log|; the first on ties.
  Grid best_grid(RealSize source, int ideal) const {
    const double log_aspect = std::log(source.width / source.height);
    Grid best;
    double smallest = std::numeric_limits<double>::infinity();
    for (int slices = ideal - 1; slices <= std::min(ideal + 1, config_.max_slices); ++slices) {
      if (slices == 1) continue;
      for (int columns = 1; columns <= slices; ++columns) {
        if (slices % columns != 0) continue;
        const int rows = slices / columns;
        const double error = std::abs(log_aspect - std::log(static_cast<double>(columns) / rows));
        if (error < smallest) {
          smallest = error;
          best = {columns, rows};
        }
      }
    }
    return best;
  }

  // The cell is chosen for one slice, so that every cell keeps nearly the shape the image has there.
  Size best_cell(RealSize source, Grid grid) const {
    return best_size({divisible(source.width, grid.columns) / grid.columns,
                      divisible(source.height, grid.rows) / grid.rows},
                     true);
  }

 private:
  const SlicingConfig& config_;
};

RealSize real(Size size) { return {static_cast<double>(size.width), static_cast<double>(size.height)}; }

// The longer side becomes `longest`, up as well as down.
Size prescaled(Size image, int longest) {
  const auto [width, height] = real(image);
  if (image.width > image.height) {
    return {longest, static_cast<int64_t>(height * (longest / width))};
  }
  return {static_cast<int64_t>(width * (longest / height)), longest};
}

// The longer side becomes `longest`, up as well as down, and the other an even length.
Size enlarged(Size image, int longest) {
  const auto [width, height] = real(image);
  const auto even = [](double side) {
    const auto whole = static_cast<int64_t>(side);
    return std::max<int64_t>(whole + whole % 2, 1);
  };
  if (image.width >= image.height) return {longest, even(longest / (width / height))};
  return {even(longest * (width / height)), longest};
}

// The sides as whole tiles: the longer one first, and the other in the shape of the image.
Size in_tiles(Size source, int tile) {
  const auto [width, height] = real(source);
  const auto up = [&](int64_t side) { return (side + tile - 1) / tile * tile; };
  if (source.width >= source.height) {
    const int64_t wide = up(source.width);
    return {wide, up(static_cast<int64_t>(static_cast<double>(wide) / (width / height)))};
  }
  const int64_t high = up(source.height);
  return {up(static_cast<int64_t>(static_cast<double>(high) * (width / height))), high};
}

// SmolVLM's and Idefics3's processor. Where fewer tiles are asked for, the longest side is fewer of them.
SlicePlan plan_tiles(Size image, const SlicingConfig& config) {
  const int64_t given =
      config.prescale_longest > 0 ? config.prescale_longest : std::max(image.width, image.height);
  const int tile = config.scale;
  SlicePlan plan;
  plan.image = image;
  // A convolution over patches leaves out the pixels beyond the last whole one.
  plan.trimmed = tile % config.patch;
  plan.cell = plan.overview = {tile - plan.trimmed, tile - plan.trimmed};
  int64_t longest = std::min<int64_t>(given, kMaxScale);
  for (;;) {
    plan.source = enlarged(image, static_cast<int>(longest));
    plan.refined = in_tiles(plan.source, tile);
    plan.columns = static_cast<int>(plan.refined.width / tile);
    plan.rows = static_cast<int>(plan.refined.height / tile);
    if (plan.slices() <= config.max_slices) break;
    longest = (longest - 1) / tile * tile;
  }
  if (plan.slices() == 1) plan.columns = plan.rows = 0;
  return plan;
}

void require_usable(const SlicingConfig& config) {
  require(config.scale >= 1 && config.scale <= kMaxScale, "slicing: scale ", config.scale,
          " is not within 1 to ", kMaxScale);
  require(config.patch >= 1 && config.patch <= config.scale, "slicing: patch ", config.patch,
          " is not within 1 and the scale ", config.scale);
  require(config.max_slices >= 1 && config.max_slices <= kMaxSlices, "slicing: max_slices ",
          config.max_slices, " is not within 1 to ", kMaxSlices);
  require(config.prescale_longest >= 0 && config.prescale_longest <= kMaxScale, "slicing: prescale_longest ",
          config.prescale_longest, " is not within 0 to ", kMaxScale);
}

}  // namespace

SlicePlan plan_slices(Size image, const SlicingConfig& config) {
  require_usable(config);
  require(image.width >= 1 && image.height >= 1 && image.width <= kMaxSide && image.height <= kMaxSide,
          "an image of ", image.width, "x", image.height, " cannot be sliced");
  SlicePlan plan;
  plan.image = plan.source = image;
  if (config.kind == SlicingConfig::Kind::tiles) return plan_tiles(image, config);
  if (config.kind != SlicingConfig::Kind::adaptive) {
    plan.overview = {config.scale, config.scale};
    return plan;
  }
  if (config.prescale_longest > 0) {
    plan.source = prescaled(image, config.prescale_longest);
    require(plan.source.width >= 1 && plan.source.height >= 1, "an image of ", image.width, "x", image.height,
            " vanishes when its longest side is scaled to ", config.prescale_longest);
  }
  const Planner planner(config);
  const RealSize source = real(plan.source);
  const int ideal = planner.ideal_slices(source);
  plan.overview = planner.best_size(source, ideal <= 1);
  if (ideal <= 1) return plan;
  const Grid grid = planner.best_grid(source, ideal);
  plan.columns = grid.columns;
  plan.rows = grid.rows;
  plan.cell = planner.best_cell(source, grid);
  plan.refined = {plan.cell.width * grid.columns, plan.cell.height * grid.rows};
  return plan;
}

Scale scale_of(const SlicePlan& plan, const SlicingConfig& config) {
  const auto [width, height] = real(plan.image);
  const auto square = static_cast<double>(plan.overview.width);
  switch (config.kind) {
    case SlicingConfig::Kind::pad_square:
      return {square / std::max(width, height), square / std::max(width, height)};
    case SlicingConfig::Kind::centre_crop:
      return {square / std::min(width, height), square / std::min(width, height)};
    case SlicingConfig::Kind::adaptive:
    case SlicingConfig::Kind::tiles:
      break;
  }
  const RealSize seen = real(plan.slices() > 0 ? plan.refined : plan.overview);
  return {seen.width / width, seen.height / height};
}

int64_t patches_of(Size piece, int patch) { return (piece.width / patch) * (piece.height / patch); }

int64_t total_patches(const SlicePlan& plan, int patch) {
  return plan.slices() * patches_of(plan.cell, patch) + patches_of(plan.overview, patch);
}

int tokens_of_piece(const SlicePlan& plan, int index, const ModelConfig& config) {
  check(index >= 0 && index < plan.pieces(), "piece ", index, " of ", plan.pieces());
  const Size piece = plan.piece(index);
  const int patch = config.slicing.patch;
  return static_cast<int>(slice_rows_of(config).of(
      {static_cast<int>(piece.height / patch), static_cast<int>(piece.width / patch)}));
}

int visual_tokens(const SlicePlan& plan, const ModelConfig& config) {
  int tokens = tokens_of_piece(plan, plan.slices(), config);
  if (plan.slices() > 0) tokens += plan.slices() * tokens_of_piece(plan, 0, config);
  return tokens;
}

int separator_tokens(const SlicePlan& plan, const ImageLayout& layout) {
  if (plan.slices() == 0) return 0;
  const auto& last = layout.last_row_separator.empty() ? layout.row_separator : layout.last_row_separator;
  return plan.rows * (plan.columns - 1) * static_cast<int>(layout.column_separator.size()) +
         (plan.rows - 1) * static_cast<int>(layout.row_separator.size()) +
         (layout.separator_after_last_row ? static_cast<int>(last.size()) : 0);
}

namespace {

int mark_tokens(const SlicePlan& plan, const ImageLayout& layout) {
  int tokens = 0;
  for (int i = 0; i < plan.slices() && !layout.cell_marks.empty(); ++i) {
    tokens += static_cast<int>(layout.cell_mark(i / plan.columns, i % plan.columns).size());
  }
  return tokens;
}

}  // namespace

int wrapping_tokens(const SlicePlan& plan, const ImageLayout& layout) {
  return static_cast<int>(layout.before_overview.size() + layout.after_overview.size()) +
         plan.slices() * static_cast<int>(layout.before_slice.size() + layout.after_slice.size()) +
         mark_tokens(plan, layout);
}

}  // namespace uhd
