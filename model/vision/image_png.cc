// libpng reports errors by longjmp. Every function that can be jumped out of holds no object with a
// destructor: buffers and the reader belong to the caller.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "model/vision/image_decoders.h"

namespace uhd {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kChunkFrame = 12;  // length, type, checksum

uint32_t big_endian_at(std::string_view bytes, size_t at) {
  return png_get_uint_32(reinterpret_cast<png_const_bytep>(bytes.data() + at));
}

void read_bytes(png_structp png, png_bytep out, size_t length) {
  auto* rest = static_cast<std::string_view*>(png_get_io_ptr(png));
  if (length > rest->size()) png_error(png, "");
  std::memcpy(out, rest->data(), length);
  rest->remove_prefix(length);
}

// libpng found these faults in the compressed pixels without giving up.
struct Doubts {
  bool checksum = false;  // of a chunk
  bool others = false;    // so that the pixels' own checksum may not have been compared
};

[[noreturn]] void fail(png_structp png, png_const_charp) { png_longjmp(png, 1); }
void note(png_structp png, png_const_charp message) {
  auto* doubts = static_cast<Doubts*>(png_get_error_ptr(png));
  (std::string_view(message).ends_with("CRC error") ? doubts->checksum : doubts->others) = true;
}

class PngReader {
 public:
  explicit PngReader(std::string_view bytes) : rest(bytes) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &doubts, fail, note);
    if (png != nullptr) info = png_create_info_struct(png);
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }

  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view rest;
  Doubts doubts;
};

// Rows of 1, 2, 3 or 4 channels (grey, grey and alpha, RGB, RGBA) of 8 bits; grey of 16 bits stays so where
// the published code has its own rule for it.
struct Layout {
  int channels = 0;
  bool wide_grey = false;
  bool interlaced = false;
  size_t row_bytes = 0;
};

bool start(PngReader& reader, Size size, bool reference_compat, Layout& layout) {
  if (reader.png == nullptr || reader.info == nullptr) return false;
  png_structp png = reader.png;
  png_infop info = reader.info;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, &reader.rest, read_bytes);
  png_set_user_limits(png, static_cast<png_uint_32>(size.width), static_cast<png_uint_32>(size.height));
  png_set_chunk_cache_max(png, 16);
  png_set_chunk_malloc_max(png, 1 << 20);
  // No chunk but IHDR, PLTE, tRNS, IDAT and IEND is looked into.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != size.width || png_get_image_height(png, info) != size.height) {
    return false;
  }
  png_set_expand(png);
  layout.wide_grey = reference_compat && png_get_bit_depth(png, info) == 16 &&
                     png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY;
  if (!layout.wide_grey) png_set_strip_16(png);
  layout.interlaced = png_set_interlace_handling(png) > 1;
  png_read_update_info(png, info);
  layout.channels = png_get_channels(png, info);
  layout.row_bytes = png_get_rowbytes(png, info);
  return true;
}

// PIL reads such files as numbers and clips them.
void wide_grey_to_rgb(uint8_t* out, const uint8_t* row, int64_t width, int channels) {
  for (int64_t x = 0; x < width; ++x, row += 2 * channels, out += 3) {
    std::memset(out, row[0] != 0 ? 255 : row[1], 3);
  }
}

void row_to_rgb(uint8_t* out, const uint8_t* row, int64_t width, int channels, bool drop_alpha) {
  const bool grey = channels < 3;
  const bool has_alpha = channels % 2 == 0;
  for (int64_t x = 0; x < width; ++x, row += channels, out += 3) {
    const uint8_t alpha = has_alpha && !drop_alpha ? row[channels - 1] : 255;
    for (int c = 0; c < 3; ++c) out[c] = on_white(row[grey ? 0 : c], alpha);
  }
}

void convert_row(uint8_t* out, const uint8_t* row, int64_t width, const Layout& layout,
                 bool reference_compat) {
  if (layout.wide_grey) return wide_grey_to_rgb(out, row, width, layout.channels);
  if (layout.channels == 3) {
    std::memcpy(out, row, static_cast<size_t>(width) * 3);
    return;
  }
  row_to_rgb(out, row, width, layout.channels, reference_compat);
}

// libpng looks at what follows the last row before it returns: it may fail with all rows read.
bool has_all_rows(const PngReader& reader, const Layout& layout) {
  constexpr int kPasses = 7;
  return layout.interlaced
             ? png_get_current_pass_number(reader.png) >= kPasses
             : png_get_current_row_number(reader.png) >= png_get_image_height(reader.png, reader.info);
}

// The next row, or the whole picture where it is interlaced.
bool read_next(PngReader& reader, const Layout& layout, uint8_t** rows) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) {
    reader.doubts.others = true;
    return has_all_rows(reader, layout);
  }
  if (layout.interlaced) {
    png_read_image(reader.png, rows);
  } else {
    png_read_row(reader.png, rows[0], nullptr);
  }
  return true;
}

// `rows` are pointers into a buffer of the whole picture where it is interlaced, else one row; `rgb` is a row
// of what is given. Data behind
// the pixels does not matter. A chunk's wrong checksum does not either, when the pixels match their own.
bool read_rows(PngReader& reader, const Layout& layout, uint8_t** rows, Size size, uint8_t* rgb,
               bool reference_compat, const RowSink& sink) {
  png_set_crc_action(reader.png, PNG_CRC_WARN_USE, PNG_CRC_QUIET_USE);
  reader.doubts = {};
  for (int64_t y = 0; y < size.height; ++y) {
    if ((y == 0 || !layout.interlaced) && !read_next(reader, layout, rows)) return false;
    convert_row(rgb, rows[layout.interlaced ? y : 0], size.width, layout, reference_compat);
    sink(rgb);
  }
  return !reader.doubts.checksum || !reader.doubts.others;
}

// No compressed file is smaller than a 1032nd of its rows: what claims more is lying, and nothing is
// allocated for it.
bool can_hold(std::string_view bytes, Size size) {
  constexpr uint64_t kMostDeflated = 1032;
  const uint64_t row_bits_at_least = static_cast<uint64_t>(size.width);
  const uint64_t rows_at_least = (row_bits_at_least / 8 + 1) * static_cast<uint64_t>(size.height);
  return rows_at_least / kMostDeflated <= bytes.size();
}

}  // namespace

StoredImage read_png_header(std::string_view bytes) {
  constexpr size_t kHeaderEnd = 8 + kChunkFrame + 13;
  if (bytes.size() < kHeaderEnd || big_endian_at(bytes, 8) != 13 || bytes.substr(12, 4) != "IHDR") {
    throw_damaged("PNG");
  }
  StoredImage image{.size = {big_endian_at(bytes, 16), big_endian_at(bytes, 20)}};
  for (size_t at = kSignature.size(); bytes.size() - at >= kChunkFrame;) {
    const size_t length = big_endian_at(bytes, at);
    if (length > bytes.size() - at - kChunkFrame) break;
    if (bytes.substr(at + 4, 4) == "eXIf") {
      image.exif = bytes.substr(at + 8, length);
      break;
    }
    at += kChunkFrame + length;
  }
  return image;
}

void decode_png(std::string_view bytes, Size size, bool reference_compat, const RowSink& sink) {
  if (!can_hold(bytes, size)) throw_damaged("PNG");
  PngReader reader(bytes);
  Layout layout;
  if (!start(reader, size, reference_compat, layout)) throw_damaged("PNG");
  const size_t buffered_rows = layout.interlaced ? static_cast<size_t>(size.height) : 1;
  std::vector<uint8_t> buffer(layout.row_bytes * buffered_rows);
  std::vector<uint8_t*> rows(buffered_rows);
  for (size_t y = 0; y < buffered_rows; ++y) rows[y] = buffer.data() + y * layout.row_bytes;
  std::vector<uint8_t> rgb(static_cast<size_t>(size.width) * 3 + kRowSlack);
  if (!read_rows(reader, layout, rows.data(), size, rgb.data(), reference_compat, sink)) throw_damaged("PNG");
}

}  // namespace uhd
