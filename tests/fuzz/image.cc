// Reads headers of images and decodes them, and cuts slices on the way. An image has the size that its header
// says.
#include "model/vision/image.h"
#include "model/vision/slicer.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

// Small, so that a picture takes no time and memory beyond its limits is seen.
constexpr ImageLimits kImageLimits{.max_bytes = 1 << 18, .max_pixels = 1 << 18, .max_side = 4096};
constexpr SlicingConfig kSlicing{.scale = 56, .patch = 14, .max_slices = 7};

template <class Act>
std::string fault_of(const Act& act) {
  try {
    act();
    return "";
  } catch (const ImageError& error) {
    return error.code();
  }
}

}  // namespace

bool fuzz_image(std::string_view bytes) {
  const bool reference_compat = bytes.size() % 2 != 0;
  const ImageHeader header = read_image_header(bytes, kImageLimits, reference_compat);
  const std::string cutting = fault_of([&] {
    const SlicePlan plan = plan_slices(header.oriented, kSlicing);
    const auto slices = cut_encoded(bytes, kImageLimits, reference_compat, plan, kSlicing, "");
    must_hold(slices.size() == static_cast<size_t>(plan.pieces()), "an image has other slices than planned");
  });
  Image image;
  const std::string decoding = fault_of([&] { image = decode_image(bytes, kImageLimits, reference_compat); });
  must_hold(cutting == decoding, "cutting and decoding disagree");
  if (!decoding.empty()) return false;
  must_hold(Size{image.width, image.height} == header.oriented, "an image has another size than its header");
  must_hold(image.pixels.size() == size_t{3} * image.width * image.height, "an image has other pixels");
  return true;
}

}  // namespace uhd
