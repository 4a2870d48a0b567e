// The plan of one image says how it is cut and how many tokens it becomes: a pure function of its size and
// the model's config. Token counts, pixels, scheduling and tests all ask here; there is no second counter.
// Follows LLaVA-UHD (arXiv 2403.11703, section 3.1) and its released code; MiniCPM-V's rounding is a setting.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace uhd {

struct Size {
  int64_t width = 0;
  int64_t height = 0;
  bool operator==(const Size&) const = default;
};

struct SlicePlan {
  Size image;       // the size that was given, after orientation
  Size source;      // the size that is cut: of the image, or of its prescaled form
  int columns = 0;  // grid; 0 x 0: no slices, overview only
  int rows = 0;
  Size overview;  // resized whole image (for pad_square and centre_crop: the one square)
  Size refined;   // resized whole image before cutting: (columns·(cell.width + trimmed), rows·…)
  Size cell;      // one slice
  // Pixels that every piece lacks at its right and at its bottom, because its patches do not reach there. So
  // cells lie this far apart, and the overview is cut from a picture that is larger by as much.
  int64_t trimmed = 0;

  int slices() const { return columns * rows; }
  int pieces() const { return slices() + 1; }  // slices and overview
  Size piece(int index) const {
    return index < slices() ? cell : overview;
  }  // index slices() is the overview
  Size untrimmed(Size piece) const { return {piece.width + trimmed, piece.height + trimmed}; }
};

// Throws Error when a side is not positive or the reference itself fails (a side becomes 0).
SlicePlan plan_slices(Size image, const SlicingConfig& config);

// Pixels of what the model sees most closely for one pixel of the image, across and down: below 1 the model
// sees less than was sent.
struct Scale {
  double across = 0;
  double down = 0;
};
Scale scale_of(const SlicePlan& plan, const SlicingConfig& config);

// Patches of one piece (features the vision tower computes), and over the whole plan.
int64_t patches_of(Size piece, int patch);
int64_t total_patches(const SlicePlan& plan, int patch);

// Visual tokens of the plan (without separators), and rows one piece becomes.
int tokens_of_piece(const SlicePlan& plan, int index, const ModelConfig& config);
int visual_tokens(const SlicePlan& plan, const ModelConfig& config);

// Tokens of the layout: between the slices and after the rows, and around each piece. The number that
// ImageLayout::image_ids puts before an image is not in them: its tokens are the tokenizer's.
int separator_tokens(const SlicePlan& plan, const ImageLayout& layout);
int wrapping_tokens(const SlicePlan& plan, const ImageLayout& layout);

}  // namespace uhd
