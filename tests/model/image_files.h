// Makes image files in memory for tests, of each kind, with the tricks of hostile files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/vision/image.h"

namespace uhd {

// Returns a smooth picture with some noise, the same for the same size.
Image test_picture(int width, int height);

// Returns an EXIF block (from its byte-order mark on) that gives the orientation.
std::string exif_block(int orientation, bool big_endian = false);

// color_type, bit_depth and interlace are as in IHDR. `rows` holds packed samples, big-endian if they are 16
// bits wide.
struct PngFile {
  int width = 0;
  int height = 0;
  int color_type = 2;
  int bit_depth = 8;
  bool interlaced = false;
  std::vector<uint8_t> rows;
  std::vector<uint8_t> palette;                             // RGB
  std::vector<uint8_t> transparent;                         // tRNS, as in the file
  std::vector<std::pair<std::string, std::string>> chunks;  // they stand before IDAT
};
std::string make_png(const PngFile& file);
std::string png_chunk(std::string_view type, std::string_view data);
// Returns the file with another size in its header, under a right checksum.
std::string with_png_size(std::string file, uint32_t width, uint32_t height);

struct JpegOptions {
  int quality = 90;
  bool progressive = false;
  bool grey = false;
  bool inks = false;  // YCCK
};
std::string make_jpeg(const Image& image, const JpegOptions& options = {});
std::string with_jpeg_segment(const std::string& file, uint8_t marker, std::string_view data);

// Returns a lossless file; rgba is row-major.
std::string make_webp(int width, int height, const std::vector<uint8_t>& rgba);
std::string make_lossy_webp(const Image& image);
// An extended file: `frames` are whole files by make_webp, each pasted at its place.
struct WebpFrame {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  std::string file;
};
std::string make_animation(int width, int height, const std::vector<WebpFrame>& frames);
std::string with_webp_exif(const std::string& file, int width, int height, std::string_view exif);

}  // namespace uhd
