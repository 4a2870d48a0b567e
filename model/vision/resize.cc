#include "model/vision/resize.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/isa.h"
#include "model/vision/resize_rows.h"

namespace uhd {
namespace {

// PIL's rule since version 13, which shows in the last bit: the vertical pass runs first where the height
// shrinks by more than twice as many pixels as the width.
bool vertical_first(Size image, Size full) {
  const int64_t rows_less = image.height - full.height;
  const int64_t columns_less = image.width - full.width;
  return rows_less > 0 && rows_less > 2 * columns_less;
}

void check_window(const Window& window, Size full) {
  check(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
            window.x + int64_t{window.width} <= full.width &&
            window.y + int64_t{window.height} <= full.height,
        "a window outside of ", full.width, "x", full.height);
}

}  // namespace

ResizeStream::ResizeStream(Size image, Size full, const Window& window, Orientation orientation,
                           const RowKernels& kernels, RowSink out, ResizeFilter kind)
    : kernels_(kernels), out_(std::move(out)) {
  check_window(window, full);
  const auto filter = [&](bool of_width, bool mirrored) {
    return of_width ? make_axis_filter(static_cast<int>(image.width), full.width, window.x, window.width,
                                       mirrored, kind)
                    : make_axis_filter(static_cast<int>(image.height), full.height, window.y, window.height,
                                       mirrored, kind);
  };
  across_ = filter(!orientation.swap, orientation.flip_across);
  down_ = filter(orientation.swap, orientation.flip_down);
  row_.resize(static_cast<size_t>(across_.outputs()) * 3 + kRowSlack);
  keeps_rows_ = across_.copies || vertical_first(image, full) != orientation.swap;
  if (keeps_rows_) {
    first_column_ = crop_inputs(across_);
    ring_bytes_ = static_cast<size_t>(across_.end()) * 3;
    between_.resize(ring_bytes_ + kRowSlack);
  } else {
    ring_bytes_ = static_cast<size_t>(across_.outputs()) * 3;
  }
  capacity_ = *std::max_element(down_.count.begin(), down_.count.end());
  ring_.resize(ring_bytes_ * capacity_);
  rows_.resize(capacity_);
}

void ResizeStream::push(const uint8_t* row, int64_t times) {
  int64_t made = -1;  // the row's place in the ring, once it is there
  for (; times > 0; --times) {
    const int64_t y = pushed_++;
    if (given_ == down_.outputs() || y < down_.first[given_]) continue;
    if (made < 0) {
      keep(y, row);
    } else if (slot(made) != slot(y)) {
      std::memcpy(slot(y), slot(made), ring_bytes_);
    }
    made = y;
    while (given_ < down_.outputs() && down_.first[given_] + down_.count[given_] <= pushed_) give_next();
  }
}

void ResizeStream::keep(int64_t y, const uint8_t* row) {
  if (keeps_rows_) {
    std::memcpy(slot(y), row + 3 * static_cast<size_t>(first_column_), ring_bytes_);
  } else {
    kernels_.horizontal(slot(y), row, across_, scratch_);
  }
}

void ResizeStream::give_next() {
  for (int i = 0; i < down_.count[given_]; ++i) rows_[i] = slot(down_.first[given_] + i);
  const bool across_last = keeps_rows_ && !across_.copies;
  uint8_t* resized = across_last ? between_.data() : row_.data();
  if (down_.copies) {
    std::memcpy(resized, rows_.front(), ring_bytes_);
  } else {
    kernels_.vertical(resized, rows_.data(), down_, given_, static_cast<int>(ring_bytes_));
  }
  if (across_last) kernels_.horizontal(row_.data(), between_.data(), across_, scratch_);
  ++given_;
  out_(row_.data());
}

// Rows lie in the image; the last ones are copied to where slack follows.
void give_image_rows(const Image& image, const RowSink& sink) {
  const size_t bytes = static_cast<size_t>(image.width) * 3;
  check(image.width > 0 && image.height > 0 && image.pixels.size() == bytes * image.height, "an image of ",
        image.width, "x", image.height, " holds ", image.pixels.size(), " bytes");
  std::vector<uint8_t> last_row(bytes + kRowSlack);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* row = image.pixels.data() + bytes * y;
    if (bytes * (y + 1) + kRowSlack > image.pixels.size()) {
      std::memcpy(last_row.data(), row, bytes);
      row = last_row.data();
    }
    sink(row);
  }
}

std::vector<uint8_t> resize_bicubic_window(const Image& image, Size full, const Window& window,
                                           const RowKernels& kernels) {
  std::vector<uint8_t> pixels;
  check_window(window, full);
  const size_t bytes = static_cast<size_t>(window.width) * 3;
  pixels.reserve(bytes * window.height);
  ResizeStream stream({image.width, image.height}, full, window, {}, kernels,
                      [&](const uint8_t* row) { pixels.insert(pixels.end(), row, row + bytes); });
  give_image_rows(image, [&](const uint8_t* row) { stream.push(row); });
  return pixels;
}

Image resize_bicubic(const Image& image, int width, int height, const RowKernels& kernels) {
  check(width > 0 && height > 0, "resize to ", width, "x", height);
  return {width, height, resize_bicubic_window(image, Size{width, height}, {0, 0, width, height}, kernels)};
}

const RowKernels& row_kernels(const std::string& isa) {
  if (cpu::has_avx512_bytes(isa)) return avx512_row_kernels();
  return cpu::has_avx2(isa) ? avx2_row_kernels() : scalar_row_kernels();
}

}  // namespace uhd
