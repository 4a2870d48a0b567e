#include "model/vision/image.h"

#include <algorithm>
#include <optional>

#include "model/vision/exif.h"
#include "model/vision/image_decoders.h"
#include "model/vision/orientation.h"

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
  header.oriented = orientation_of(header.orientation).swapped(stored.size);
  return header;
}

void decode_rows(std::string_view bytes, const ImageHeader& header, bool reference_compat,
                 const RowSink& sink) {
  switch (header.format) {
    case Format::jpeg:
      return decode_jpeg(bytes, header.stored, sink);
    case Format::png:
      return decode_png(bytes, header.stored, reference_compat, sink);
    case Format::webp:
      return decode_webp(bytes, header.stored, reference_compat, sink);
  }
}

Image decode_image(std::string_view bytes, const ImageLimits& limits, bool reference_compat) {
  const ImageHeader header = read_image_header(bytes, limits, reference_compat);
  Image stored{static_cast<int>(header.stored.width), static_cast<int>(header.stored.height), {}};
  const size_t row_bytes = static_cast<size_t>(stored.width) * 3;
  decode_rows(bytes, header, reference_compat, [&](const uint8_t* row) {
    if (stored.pixels.empty()) stored.pixels.reserve(row_bytes * stored.height);
    stored.pixels.insert(stored.pixels.end(), row, row + row_bytes);
  });
  return turned_upright(std::move(stored), orientation_of(header.orientation));
}

}  // namespace uhd
