// Image bytes and their plan to u8 slices with fingerprints: decode, resize and cut row by row, then turn the
// slices upright. Runs on the leader's image threads; image bytes end here.
#pragma once

#include <string_view>
#include <vector>

#include "base/hash.h"
#include "model/vision/image.h"
#include "model/vision/resize_rows.h"

namespace uhd {

// One piece of one image, ready for an encoder: the unit of work, message, cache and retry.
struct Slice {
  int width = 0;  // pixels, multiples of the patch size
  int height = 0;
  std::vector<uint8_t> pixels;  // u8 RGB HWC
  Fingerprint fingerprint;      // made of pixels, shape and the salt (model, preprocessing, tenant)
};

// The plan of an image whose size is known, upright; before a pixel is decoded. Throws ImageError where the
// image has no plan or a piece of it has more patches than the limits allow.
SlicePlan plan_image(Size image, const SlicingConfig& config, const ImageLimits& limits);

// Every piece of the plan in order: slices row by row, then the overview. Rows go from the decoder to the
// pieces as they come, so that no more than a few rows of the picture lie in memory (image.h says where its
// format allows that). An image whose size differs from the plan's is an ImageError.
std::vector<Slice> cut_encoded(std::string_view bytes, const ImageLimits& limits, bool reference_compat,
                               const SlicePlan& plan, const SlicingConfig& config, std::string_view salt,
                               const RowKernels& kernels = row_kernels("auto"));

// Does the same with an upright picture that lies in memory.
std::vector<Slice> cut_slices(const Image& image, const SlicePlan& plan, const SlicingConfig& config,
                              std::string_view salt, const RowKernels& kernels = row_kernels("auto"));

}  // namespace uhd
