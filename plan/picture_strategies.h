// Counts what a picture of any size costs in the systems that the LLaVA-UHD paper compares with (arXiv
// 2403.11703, section 2), and in the later members of the family: views, visual tokens and operations. These
// are pure functions of the picture's size; nothing is run. The language model is Vicuna 13B in every row, as
// in the paper's own comparison, so that rows differ by how they see and by nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/vision/slice_plan.h"

namespace uhd {

struct PictureCost {
  std::string system;
  std::string source;  // the place where the rule is published
  int64_t views = 0;   // views that an encoder sees: tiles or slices, with an overview
  Size seen;           // pixels of the finest view of the whole picture
  int64_t tokens = 0;  // visual tokens, without separators
  int64_t separators = 0;
  // These are empty where the published sources do not say enough; `unknown` then says what is missing.
  std::optional<double> encoder_flops;  // tower and connector
  std::optional<double> language_flops;
  std::string unknown;

  std::optional<double> flops() const;  // both together
};

// Returns a row for each system. Throws an Error if the picture has no plan: a side that is not positive or
// beyond 32768 pixels, or one that vanishes in a system's own resize.
std::vector<PictureCost> picture_costs(Size picture);

// The rows that claims compare (plan/paper_claims.h). `queries` are 64 in the paper, with one attention over
// a slice, and 144 in the released form, where each sees its own region. `width` is the resampler's.
PictureCost llava_15_cost(Size picture);
PictureCost llava_uhd_cost(Size picture, int queries, int width);

}  // namespace uhd
