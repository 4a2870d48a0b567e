// libjpeg reports errors by longjmp. Every function that can be jumped out of holds no object with a
// destructor: buffers and the decompressor belong to the caller.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
// Needs the two above.
#include <jpeglib.h>
// Needs jpeglib.h.
#include <jerror.h>

#include <algorithm>

#include "model/vision/image_decoders.h"

namespace uhd {
namespace {

unsigned byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
unsigned word_at(std::string_view bytes, size_t at) {
  return byte_at(bytes, at) << 8 | byte_at(bytes, at + 1);
}

// The next marker at or after `at`, which moves behind it; 0: none.
unsigned next_marker(std::string_view bytes, size_t& at) {
  while (at < bytes.size() && byte_at(bytes, at) != 0xff) ++at;
  while (at < bytes.size() && byte_at(bytes, at) == 0xff) ++at;
  return at < bytes.size() ? byte_at(bytes, at++) : 0;
}

bool starts_frame(unsigned marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}
bool stands_alone(unsigned marker) { return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8); }

struct Failure {
  jpeg_error_mgr errors;
  jmp_buf jump;
  bool without_end;  // the file is over, and its end marker was not there
};

[[noreturn]] void fail(j_common_ptr jpeg) { std::longjmp(reinterpret_cast<Failure*>(jpeg->err)->jump, 1); }

// Warnings that mean lost pixels are errors; the library would paint them grey. A file that is over without
// its end marker may have all its pixels: where one is missing, Huffman codes say so next; arithmetic ones do
// not.
void hear_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
      if (reinterpret_cast<j_decompress_ptr>(jpeg)->arith_code != FALSE) fail(jpeg);
      reinterpret_cast<Failure*>(jpeg->err)->without_end = true;
      return;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
      fail(jpeg);
    default:
      return;
  }
}

// A progressive file may hold any number of scans, and each costs a pass over the whole picture.
struct ScanLimit {
  jpeg_progress_mgr progress;
  int scans;
};

void count_scans(j_common_ptr jpeg) {
  const auto* limit = reinterpret_cast<const ScanLimit*>(jpeg->progress);
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > limit->scans) fail(jpeg);
}

int most_scans(Size size) {
  constexpr int64_t kPixelPasses = 2'000'000'000, kFewest = 32, kMost = 200;
  return static_cast<int>(std::clamp(kPixelPasses / (size.width * size.height), kFewest, kMost));
}

long memory_budget(Size size) {
  constexpr int64_t kFixed = 64 << 20;
  constexpr int64_t kPerPixel = 8;  // the coefficients of four full-size channels
  return static_cast<long>(kFixed + kPerPixel * size.width * size.height);
}

class Decompressor {
 public:
  explicit Decompressor(Size size) {
    jpeg.err = jpeg_std_error(&failure.errors);
    failure.errors.error_exit = fail;
    failure.errors.emit_message = hear_message;
    limit.progress.progress_monitor = count_scans;
    limit.scans = most_scans(size);
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&jpeg); }

  jpeg_decompress_struct jpeg{};
  Failure failure{};
  ScanLimit limit{};
};

bool start(Decompressor& decompressor, std::string_view bytes, Size size) {
  jpeg_decompress_struct& jpeg = decompressor.jpeg;
  if (setjmp(decompressor.failure.jump) != 0) return false;
  jpeg_create_decompress(&jpeg);
  jpeg.mem->max_memory_to_use = memory_budget(size);
  jpeg.progress = &decompressor.limit.progress;
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  if (jpeg_read_header(&jpeg, TRUE) != JPEG_HEADER_OK) return false;
  if (jpeg.image_width != size.width || jpeg.image_height != size.height) return false;
  if (jpeg.num_components != 1 && jpeg.num_components != 3 && jpeg.num_components != 4) return false;
  jpeg.out_color_space = jpeg.num_components == 4 ? JCS_CMYK : JCS_RGB;
  return jpeg_start_decompress(&jpeg) != FALSE;
}

// Inks are stored inverted, as every program that writes such files does.
void inks_to_rgb(uint8_t* out, const uint8_t* inks, int width) {
  for (int x = 0; x < width; ++x, inks += 4) {
    const int light = inks[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - inks[c]) * light + 128;
      *out++ = static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8));
    }
  }
}

// Returns whether a file of several scans that lacks its end has them all. Only a progressive one can tell.
bool has_all_scans(const jpeg_decompress_struct& jpeg) {
  if (jpeg.progressive_mode == FALSE || jpeg.coef_bits == nullptr) return false;
  for (int c = 0; c < jpeg.num_components; ++c) {
    for (int i = 0; i < DCTSIZE2; ++i) {
      if (jpeg.coef_bits[c][i] != 0) return false;
    }
  }
  return true;
}

// `inks` is a row of four channels, or null where the file is grey or RGB; `out` is a row of RGB.
bool read_rows(Decompressor& decompressor, uint8_t* out, uint8_t* inks, const RowSink& sink) {
  jpeg_decompress_struct& jpeg = decompressor.jpeg;
  if (setjmp(decompressor.failure.jump) != 0) return false;
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = inks != nullptr ? inks : out;
    if (jpeg_read_scanlines(&jpeg, &row, 1) != 1) return false;
    if (inks != nullptr) inks_to_rgb(out, inks, static_cast<int>(jpeg.output_width));
    sink(out);
  }
  // Behind the rows of a single scan nothing is looked at: it may be a maker's trailer.
  if (jpeg_has_multiple_scans(&jpeg) == FALSE) return true;
  const bool complete = has_all_scans(jpeg);  // known by now, and forgotten by the next call
  return jpeg_finish_decompress(&jpeg) != FALSE && (!decompressor.failure.without_end || complete);
}

}  // namespace

StoredImage read_jpeg_header(std::string_view bytes) {
  constexpr unsigned kEndOfImage = 0xd9, kStartOfScan = 0xda, kApp1 = 0xe1;
  constexpr std::string_view kExif("Exif\0\0", 6);
  StoredImage image;
  size_t at = 2;
  for (unsigned marker = next_marker(bytes, at); marker != 0; marker = next_marker(bytes, at)) {
    if (stands_alone(marker)) continue;
    if (marker == kEndOfImage || marker == kStartOfScan) break;
    if (bytes.size() - at < 2) break;
    const size_t length = word_at(bytes, at);
    if (length < 2 || length > bytes.size() - at) break;
    const std::string_view segment = bytes.substr(at + 2, length - 2);
    if (starts_frame(marker) && segment.size() >= 5 && image.size == Size{}) {
      image.size = {word_at(segment, 3), word_at(segment, 1)};
    }
    if (marker == kApp1 && segment.starts_with(kExif) && image.exif.empty()) image.exif = segment;
    at += length;
  }
  if (image.size == Size{}) throw_damaged("JPEG");
  return image;
}

void decode_jpeg(std::string_view bytes, Size size, const RowSink& sink) {
  Decompressor decompressor(size);
  if (!start(decompressor, bytes, size)) throw_damaged("JPEG");
  std::vector<uint8_t> row(static_cast<size_t>(size.width) * 3 + kRowSlack);
  std::vector<uint8_t> inks(decompressor.jpeg.out_color_space == JCS_CMYK ? size.width * 4 : 0);
  if (!read_rows(decompressor, row.data(), inks.empty() ? nullptr : inks.data(), sink)) {
    throw_damaged("JPEG");
  }
}

}  // namespace uhd
