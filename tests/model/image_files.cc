#include "tests/model/image_files.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
// Needs the above.
#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>
#include <zlib.h>

namespace uhd {
namespace {

std::string number(uint32_t value, int bytes, bool big_endian) {
  std::string text(bytes, '\0');
  for (int i = 0; i < bytes; ++i) {
    text[big_endian ? bytes - 1 - i : i] = static_cast<char>(value >> (8 * i) & 255);
  }
  return text;
}

void append_to_string(png_structp png, png_bytep data, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
}
void flush_nothing(png_structp) {}

size_t row_bytes(const PngFile& file) {
  static constexpr int kChannels[] = {1, 0, 3, 1, 2, 0, 4};
  return (size_t{1} * file.width * kChannels[file.color_type] * file.bit_depth + 7) / 8;
}

std::string riff_chunk(std::string_view type, std::string_view data) {
  std::string chunk =
      std::string(type) + number(static_cast<uint32_t>(data.size()), 4, false) + std::string(data);
  if (data.size() % 2 != 0) chunk += '\0';
  return chunk;
}

std::string riff_file(const std::string& chunks) {
  return "RIFF" + number(static_cast<uint32_t>(chunks.size() + 4), 4, false) + "WEBP" + chunks;
}

std::string extended_header(int flags, int width, int height) {
  return riff_chunk("VP8X",
                    number(flags, 4, false) + number(width - 1, 3, false) + number(height - 1, 3, false));
}

constexpr size_t kRiffHeader = 12;

}  // namespace

Image test_picture(int width, int height) {
  Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  std::mt19937 random(width * 31 + height);
  size_t i = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels[i++] = static_cast<uint8_t>(x * 255 / width);
      image.pixels[i++] = static_cast<uint8_t>(y * 255 / height);
      image.pixels[i++] = static_cast<uint8_t>(96 + random() % 64);
    }
  }
  return image;
}

std::string exif_block(int orientation, bool big_endian) {
  const auto n = [&](uint32_t value, int bytes) { return number(value, bytes, big_endian); };
  return (big_endian ? "MM" : "II") + n(42, 2) + n(8, 4) + n(2, 2) +       //
         n(0x0100, 2) + n(4, 2) + n(1, 4) + n(640, 4) +                    // a width
         n(0x0112, 2) + n(3, 2) + n(1, 4) + n(orientation, 2) + n(0, 2) +  //
         n(0, 4);
}

std::string png_chunk(std::string_view type, std::string_view data) {
  std::string body = std::string(type) + std::string(data);
  const auto checksum = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  return number(static_cast<uint32_t>(data.size()), 4, true) + body + number(checksum, 4, true);
}

std::string make_png(const PngFile& file) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, append_to_string, flush_nothing);
  png_set_IHDR(png, info, file.width, file.height, file.bit_depth, file.color_type,
               file.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!file.palette.empty()) {
    png_set_PLTE(png, info, reinterpret_cast<png_const_colorp>(file.palette.data()),
                 static_cast<int>(file.palette.size() / 3));
  }
  png_write_info(png, info);
  if (!file.transparent.empty()) {
    bytes +=
        png_chunk("tRNS", {reinterpret_cast<const char*>(file.transparent.data()), file.transparent.size()});
  }
  for (const auto& [type, data] : file.chunks) bytes += png_chunk(type, data);
  std::vector<uint8_t> rows = file.rows;
  std::vector<png_bytep> pointers;
  pointers.reserve(file.height);
  for (int y = 0; y < file.height; ++y) pointers.push_back(rows.data() + row_bytes(file) * y);
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string with_png_size(std::string file, uint32_t width, uint32_t height) {
  constexpr size_t kSignature = 8, kHeaderChunk = 25;
  const std::string data = number(width, 4, true) + number(height, 4, true) + file.substr(24, 5);
  return file.replace(kSignature, kHeaderChunk, png_chunk("IHDR", data));
}

std::string make_jpeg(const Image& image, const JpegOptions& options) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = image.width;
  jpeg.image_height = image.height;
  jpeg.input_components = options.inks ? 4 : 3;
  jpeg.in_color_space = options.inks ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  if (options.inks) jpeg_set_colorspace(&jpeg, JCS_YCCK);
  if (options.grey) jpeg_set_colorspace(&jpeg, JCS_GRAYSCALE);
  jpeg_set_quality(&jpeg, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<uint8_t> row(size_t{4} * image.width);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* in = &image.pixels[size_t{3} * y * image.width];
    for (int x = 0; x < image.width; ++x) {
      const int channels = jpeg.input_components;
      for (int c = 0; c < channels; ++c) row[x * channels + c] = c < 3 ? in[3 * x + c] : 255;
    }
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&jpeg, &pointer, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(out), size);
  std::free(out);
  return bytes;
}

std::string with_jpeg_segment(const std::string& file, uint8_t marker, std::string_view data) {
  const std::string head{'\xff', static_cast<char>(marker)};
  return file.substr(0, 2) + head + number(static_cast<uint32_t>(data.size() + 2), 2, true) +
         std::string(data) + file.substr(2);
}

std::string make_webp(int width, int height, const std::vector<uint8_t>& rgba) {
  uint8_t* out = nullptr;
  const size_t size = WebPEncodeLosslessRGBA(rgba.data(), width, height, width * 4, &out);
  std::string bytes(reinterpret_cast<char*>(out), size);
  WebPFree(out);
  return bytes;
}

std::string make_lossy_webp(const Image& image) {
  uint8_t* out = nullptr;
  const size_t size =
      WebPEncodeRGB(image.pixels.data(), image.width, image.height, image.width * 3, 80, &out);
  std::string bytes(reinterpret_cast<char*>(out), size);
  WebPFree(out);
  return bytes;
}

std::string make_animation(int width, int height, const std::vector<WebpFrame>& frames) {
  constexpr int kAnimated = 0x02, kAlpha = 0x10;
  std::string chunks = extended_header(kAnimated | kAlpha, width, height);
  chunks += riff_chunk("ANIM", number(0xffff0000, 4, false) + number(0, 2, false));
  for (const WebpFrame& frame : frames) {
    chunks +=
        riff_chunk("ANMF", number(frame.x / 2, 3, false) + number(frame.y / 2, 3, false) +
                               number(frame.width - 1, 3, false) + number(frame.height - 1, 3, false) +
                               number(100, 3, false) + number(0, 1, false) + frame.file.substr(kRiffHeader));
  }
  return riff_file(chunks);
}

std::string with_webp_exif(const std::string& file, int width, int height, std::string_view exif) {
  constexpr int kExif = 0x08, kAlpha = 0x10;
  return riff_file(extended_header(kExif | kAlpha, width, height) + file.substr(kRiffHeader) +
                   riff_chunk("EXIF", exif));
}

}  // namespace uhd
