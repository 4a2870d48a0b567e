#include "model/vision/image.h"

#include <algorithm>
#include <optional>

#include "model/vision/exif.h"
#include "model/vision/image_decoders.h"

namespace uhd {
namespace {

using Format = ImageHeader::Format;

std::optional<Format> format_of(std::string_view bytes) {
  constexpr std::string_view kJpeg("\xff\xd8\xff", 3), kPng("\x89PNG\r\n\x1a\n", 8);
  if (bytes.starts_with(kJpeg)) return Format::jpeg;
  if (bytes.starts_with(kPng)) return Format::png;
  if (bytes.starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") return Format::webp;
  return std::nullopt;
}

StoredImage read_stored(Format format, std::string_view bytes) {
  switch (format) {
    case Format::jpeg:
      return read_jpeg_header(bytes);
    case Format::png:
      return read_png_header(bytes);
    default:
      return read_webp_header(bytes);
  }
}

Image decode_stored(Format format, std::string_view bytes, Size size, bool reference_compat) {
  switch (format) {
    case Format::jpeg:
      return decode_jpeg(bytes, size);
    case Format::png:
      return decode_png(bytes, size, reference_compat);
    default:
      return decode_webp(bytes, size, reference_compat);
  }
}

// The pixel of an oriented picture lies in the stored one at origin + x · step_x + y · step_y.
struct Walk {
  int64_t origin, step_x, step_y;
};

Walk walk_of(int orientation, int64_t width, int64_t height) {
  const int64_t last_x = width - 1, last_y = (height - 1) * width;
  switch (orientation) {
    case 2:
      return {last_x, -1, width};
    case 3:
      return {last_x + last_y, -1, -width};
    case 4:
      return {last_y, 1, -width};
    case 5:
      return {0, width, 1};
    case 6:
      return {last_y, -width, 1};
    case 7:
      return {last_x + last_y, -width, -1};
    case 8:
      return {last_x, width, -1};
    default:
      return {0, 1, width};
  }
}

bool swaps_sides(int orientation) { return orientation >= 5; }

// Tile by tile, since a quarter turn reads down the columns.
Image oriented(Image stored, int orientation) {
  if (orientation == 1) return stored;
  Image turned = blank_image(swaps_sides(orientation) ? Size{stored.height, stored.width}
                                                      : Size{stored.width, stored.height});
  const Walk walk = walk_of(orientation, stored.width, stored.height);
  constexpr int kTile = 32;
  for (int tile_y = 0; tile_y < turned.height; tile_y += kTile) {
    for (int tile_x = 0; tile_x < turned.width; tile_x += kTile) {
      const int end_y = std::min(tile_y + kTile, turned.height);
      const int end_x = std::min(tile_x + kTile, turned.width);
      for (int y = tile_y; y < end_y; ++y) {
        uint8_t* out = &turned.pixels[(static_cast<size_t>(y) * turned.width + tile_x) * 3];
        for (int x = tile_x; x < end_x; ++x, out += 3) {
          const uint8_t* in = &stored.pixels[(walk.origin + x * walk.step_x + y * walk.step_y) * 3];
          out[0] = in[0];
          out[1] = in[1];
          out[2] = in[2];
        }
      }
    }
  }
  return turned;
}

}  // namespace

void check_image_size(Size size, const ImageLimits& limits) {
  const auto [width, height] = size;
  if (width < 1 || height < 1) throw ImageError("image_invalid", "the image has no pixels");
  if (width > limits.max_side || height > limits.max_side) {
    throw ImageError("image_too_large", message("the image is ", width, "x", height, " pixels; at most ",
                                                limits.max_side, " a side are accepted"));
  }
  if (width > limits.max_pixels / height) {
    throw ImageError("image_too_large", message("the image is ", width, "x", height, " pixels; at most ",
                                                limits.max_pixels, " in all are accepted"));
  }
  const auto [shorter, longer] = std::minmax(width, height);
  if (static_cast<double>(longer) > limits.max_aspect * static_cast<double>(shorter)) {
    throw ImageError("image_aspect",
                     message("the image is ", width, "x", height, " pixels; a side may be at most ",
                             limits.max_aspect, " times the other"));
  }
}

void throw_damaged(std::string_view format) {
  throw ImageError("image_invalid", message("the ", format, " image is truncated or damaged"));
}

Image blank_image(Size size) {
  return {static_cast<int>(size.width), static_cast<int>(size.height),
          std::vector<uint8_t>(static_cast<size_t>(size.width) * size.height * 3)};
}

ImageHeader read_image_header(std::string_view bytes, const ImageLimits& limits, bool reference_compat) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    throw ImageError("image_too_large", message("the image has ", bytes.size(), " bytes; at most ",
                                                limits.max_bytes, " are accepted"));
  }
  const auto format = format_of(bytes);
  if (!format) {
    throw ImageError("image_format_unsupported", "the image is not JPEG, PNG or WebP");
  }
  const StoredImage stored = read_stored(*format, bytes);
  check_image_size(stored.size, limits);
  ImageHeader header{.format = *format, .stored = stored.size, .oriented = stored.size};
  if (!reference_compat) header.orientation = exif_orientation(stored.exif);
  if (swaps_sides(header.orientation)) header.oriented = {stored.size.height, stored.size.width};
  return header;
}

Image decode_image(std::string_view bytes, const ImageLimits& limits, bool reference_compat) {
  const ImageHeader header = read_image_header(bytes, limits, reference_compat);
  return oriented(decode_stored(header.format, bytes, header.stored, reference_compat), header.orientation);
}

}  // namespace uhd
