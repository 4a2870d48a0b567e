#include "model/vision/slicer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "model/vision/resize.h"

namespace uhd {
namespace {

int to_int(int64_t side) { return static_cast<int>(side); }

Slice make_slice(int width, int height, std::vector<uint8_t> pixels, std::string_view salt) {
  Slice slice{.width = width, .height = height, .pixels = std::move(pixels)};
  const std::array<int32_t, 2> shape{width, height};
  slice.fingerprint = fingerprint({std::as_bytes(std::span(slice.pixels)), bytes_of(shape), bytes_of(salt)});
  return slice;
}

Slice resized(const Image& source, Size full, const Window& window, std::string_view salt,
              const RowKernels& kernels) {
  return make_slice(window.width, window.height, resize_bicubic_window(source, full, window, kernels), salt);
}

std::vector<Slice> cut_grid(const Image& image, const SlicePlan& plan, std::string_view salt,
                            const RowKernels& kernels) {
  const int width = to_int(plan.cell.width), height = to_int(plan.cell.height);
  std::vector<Slice> slices;
  slices.reserve(plan.pieces());
  for (int i = 0; i < plan.slices(); ++i) {
    const Window window{i % plan.columns * width, i / plan.columns * height, width, height};
    slices.push_back(resized(image, plan.refined, window, salt, kernels));
  }
  const Window whole{0, 0, to_int(plan.overview.width), to_int(plan.overview.height)};
  slices.push_back(resized(image, plan.overview, whole, salt, kernels));
  return slices;
}

// The image in the middle of a square of the mean colour, resized; the square is never made.
Slice pad_square(const Image& image, Size target, std::string_view salt, const RowKernels& kernels) {
  constexpr std::array<uint8_t, 3> kMeanColour{122, 116, 104};
  const int side = std::max(image.width, image.height);
  const int left = (side - image.width) / 2;
  const int top = (side - image.height) / 2;
  const size_t image_bytes = static_cast<size_t>(image.width) * 3;
  std::vector<uint8_t> padding(static_cast<size_t>(side) * 3 + kRowSlack);
  for (size_t i = 0; i < padding.size(); ++i) padding[i] = kMeanColour[i % 3];
  std::vector<uint8_t> padded = padding;
  const RowSource square{side, side, [&](int y) -> const uint8_t* {
                           if (y < top || y >= top + image.height) return padding.data();
                           std::memcpy(padded.data() + 3 * static_cast<size_t>(left),
                                       image.pixels.data() + image_bytes * (y - top), image_bytes);
                           return padded.data();
                         }};
  const int width = to_int(target.width), height = to_int(target.height);
  return make_slice(width, height, resize_bicubic_window(square, target, {0, 0, width, height}, kernels),
                    salt);
}

// The shorter side resized to the target's, then the middle; the rest is never made.
Slice centre_crop(const Image& image, Size target, std::string_view salt, const RowKernels& kernels) {
  const int side = to_int(target.width);
  const auto scaled = [&](int longer, int shorter) {
    return static_cast<int64_t>(static_cast<double>(int64_t{side} * longer) / shorter);
  };
  Size full{side, side};
  if (image.width <= image.height) {
    full.height = scaled(image.height, image.width);
  } else {
    full.width = scaled(image.width, image.height);
  }
  const Window middle{to_int((full.width - side) / 2), to_int((full.height - side) / 2), side, side};
  return resized(image, full, middle, salt, kernels);
}

void check_pieces(const SlicePlan& plan, int patch, const ImageLimits& limits) {
  for (const Size piece : {plan.piece(0), plan.overview}) {
    const int64_t patches = patches_of(piece, patch);
    if (patches <= limits.max_piece_patches) continue;
    throw ImageError("image_too_large", message("the image of ", plan.image.width, "x", plan.image.height,
                                                " pixels has a slice of ", patches, " patches; at most ",
                                                limits.max_piece_patches, " are accepted"));
  }
}

}  // namespace

SlicePlan plan_image(Size image, const SlicingConfig& config, const ImageLimits& limits) {
  SlicePlan plan;
  try {
    plan = plan_slices(image, config);
  } catch (const ImageError&) {
    throw;
  } catch (const Error& error) {
    throw ImageError("image_invalid", error.what());
  }
  check_pieces(plan, config.patch, limits);
  return plan;
}

std::vector<Slice> cut_slices(const Image& image, const SlicePlan& plan, const SlicingConfig& config,
                              std::string_view salt, const RowKernels& kernels) {
  if (Size{image.width, image.height} != plan.image) {
    throw ImageError("image_invalid",
                     message("the image decodes to ", image.width, "x", image.height,
                             " pixels, its header said ", plan.image.width, "x", plan.image.height));
  }
  std::vector<Slice> slices;
  switch (config.kind) {
    case SlicingConfig::Kind::pad_square:
      slices.push_back(pad_square(image, plan.overview, salt, kernels));
      break;
    case SlicingConfig::Kind::centre_crop:
      slices.push_back(centre_crop(image, plan.overview, salt, kernels));
      break;
    case SlicingConfig::Kind::adaptive:
      if (plan.source == plan.image) return cut_grid(image, plan, salt, kernels);
      return cut_grid(resize_bicubic(image, to_int(plan.source.width), to_int(plan.source.height), kernels),
                      plan, salt, kernels);
  }
  return slices;
}

}  // namespace uhd
