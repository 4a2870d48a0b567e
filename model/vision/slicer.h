// Image bytes and their plan to u8 slices with fingerprints: decode, orient, resize, cut. Runs on the
// leader's image threads; image bytes end here.
#pragma once

#include <memory>

#include "base/hash.h"
#include "model/vision/image.h"

namespace uhd {

// One piece of one image, ready for an encoder: the unit of work, message, cache and retry.
struct Slice {
  int width = 0;  // pixels, multiples of the patch size
  int height = 0;
  std::vector<uint8_t> pixels;  // u8 RGB HWC
  Fingerprint fingerprint;      // over pixels, shape and the salt (model, preprocessing, tenant)
};

// Every piece of the plan in order: slices row by row, then the overview. An image whose decoded size differs
// from the plan's is an ImageError.
std::vector<Slice> cut_slices(const Image& image, const SlicePlan& plan, const SlicingConfig& config,
                              std::string_view salt);

}  // namespace uhd
