// Encoded image bytes to pixels: JPEG, PNG and WebP by their magic bytes, first frame only. The only
// decoders. Hostile input ends here: sizes come from the header and are checked against the limits before a
// pixel is decoded, and error texts are ours, never a library's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/vision/slice_plan.h"

namespace uhd {

// u8 RGB, row-major HWC, dense.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

struct ImageLimits {
  int64_t max_bytes = 20 << 20;
  int64_t max_pixels = 50'000'000;
  int64_t max_side = 32768;
  double max_aspect = 100;           // longer side over shorter
  int64_t max_piece_patches = 4096;  // patches of one slice or overview
};

// A bad image is the client's fault: `code` is short and stable, what() is for the client.
class ImageError : public Error {
 public:
  ImageError(std::string code, const std::string& text) : Error(text), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

struct ImageHeader {
  enum class Format : uint8_t { jpeg, png, webp } format;
  Size stored;          // the size in the file
  Size oriented;        // the size after EXIF orientation (equal to stored with reference_compat)
  int orientation = 1;  // EXIF, 1 to 8
};

// Throws ImageError where an image of this size is beyond the limits, or has no pixels.
void check_image_size(Size size, const ImageLimits& limits);

// Returns the header and decodes no pixel. reference_compat ignores the orientation, as the published code
// does.
ImageHeader read_image_header(std::string_view bytes, const ImageLimits& limits, bool reference_compat);

// Bytes that can be read past the end of a row.
inline constexpr int kRowSlack = 32;

// Takes rows of u8 RGB from the top down; each has kRowSlack readable bytes more and is valid in the call.
using RowSink = std::function<void(const uint8_t* row)>;

// Gives every row of the picture as it lies in the file, in `header.stored`. The picture never lies in memory
// as a whole where its format allows that: a JPEG of one scan, a PNG that is not interlaced. Where pixels are
// missing this throws, and the rows that were given are void.
void decode_rows(std::string_view bytes, const ImageHeader& header, bool reference_compat,
                 const RowSink& sink);

// Decoded, oriented, alpha on white (reference_compat: dropped, as PIL's convert("RGB") does), 16-bit,
// palette, grey and CMYK turned to RGB.
Image decode_image(std::string_view bytes, const ImageLimits& limits, bool reference_compat);

}  // namespace uhd
