// The three decoders behind image.h. Each reads the header without allocating by what it says, then gives
// rows of RGB in the file's own orientation. All throw ImageError only.
#pragma once

#include <string_view>

#include "model/vision/image.h"

namespace uhd {

struct StoredImage {
  Size size;
  std::string_view exif;  // a part of the bytes; empty: none
};

StoredImage read_jpeg_header(std::string_view bytes);
StoredImage read_png_header(std::string_view bytes);
StoredImage read_webp_header(std::string_view bytes);

// `size` is the header's, already held against the limits; a file that decodes to another size is an error.
// drop_alpha and the 16-bit grey rule are the published code's; otherwise alpha is composited on white.
void decode_jpeg(std::string_view bytes, Size size, const RowSink& sink);
void decode_png(std::string_view bytes, Size size, bool reference_compat, const RowSink& sink);
void decode_webp(std::string_view bytes, Size size, bool reference_compat, const RowSink& sink);

[[noreturn]] void throw_damaged(std::string_view format);

// One pixel of a row with alpha.
inline uint8_t on_white(uint8_t value, uint8_t alpha) {
  const unsigned sum = value * alpha + 255u * (255u - alpha) + 127u;
  return static_cast<uint8_t>(sum / 255);
}

}  // namespace uhd
