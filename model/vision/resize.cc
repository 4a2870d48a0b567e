#include "model/vision/resize.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/isa.h"
#include "model/vision/resize_rows.h"

namespace uhd {
namespace {

// Columns of the source that one pass needs.
struct Columns {
  int first = 0;
  int count = 0;
};

// The rows that the vertical pass needs at a time: pixels of the source, or of its horizontally resized rows.
class RowRing {
 public:
  // horizontal: null to keep `columns` of the source as they are.
  RowRing(const RowSource& source, const AxisFilter* horizontal, Columns columns, int capacity,
          const RowKernels& kernels)
      : source_(source),
        horizontal_(horizontal),
        kernels_(kernels),
        columns_(columns),
        capacity_(capacity),
        bytes_(3 * (horizontal != nullptr ? horizontal->first.size() : columns.count)),
        rows_(bytes_ * capacity) {}

  // Rows [first, first + count) are made; first never goes down.
  void advance(int first, int count) {
    for (next_ = std::max(next_, first); next_ < first + count; ++next_) {
      const uint8_t* row = source_.row(next_);
      if (horizontal_ != nullptr) {
        kernels_.horizontal(slot(next_), row, *horizontal_);
      } else {
        std::memcpy(slot(next_), row + 3 * static_cast<size_t>(columns_.first), bytes_);
      }
    }
  }

  uint8_t* slot(int y) { return rows_.data() + bytes_ * (y % capacity_); }
  size_t row_bytes() const { return bytes_; }

 private:
  const RowSource& source_;
  const AxisFilter* horizontal_;
  const RowKernels& kernels_;
  Columns columns_;
  int capacity_;
  size_t bytes_;
  std::vector<uint8_t> rows_;
  int next_ = 0;
};

// PIL's rule since version 13, which shows in the last bit: the vertical pass runs first where the height
// shrinks by more than twice as many pixels as the width.
bool vertical_first(const RowSource& source, Size full) {
  const int64_t rows_less = source.height - full.height;
  const int64_t columns_less = source.width - full.width;
  return rows_less > 0 && rows_less > 2 * columns_less;
}

// The filter's first input becomes column 0.
Columns crop_inputs(AxisFilter& filter) {
  const int first = filter.first.front();
  const int end = filter.first.back() + filter.count.back();
  for (int32_t& input : filter.first) input -= first;
  return {first, end - first};
}

// Rows lie in the image; the last ones are copied to where slack follows.
RowSource rows_of(const Image& image, std::vector<uint8_t>& last_row) {
  const size_t bytes = static_cast<size_t>(image.width) * 3;
  check(image.width > 0 && image.height > 0 && image.pixels.size() == bytes * image.height, "an image of ",
        image.width, "x", image.height, " holds ", image.pixels.size(), " bytes");
  last_row.resize(bytes + kRowSlack);
  return {image.width, image.height, [&image, &last_row, bytes](int y) -> const uint8_t* {
            const uint8_t* row = image.pixels.data() + bytes * y;
            if (bytes * (y + 1) + kRowSlack <= image.pixels.size()) return row;
            std::memcpy(last_row.data(), row, bytes);
            return last_row.data();
          }};
}

}  // namespace

std::vector<uint8_t> resize_bicubic_window(const RowSource& source, Size full, const Window& window,
                                           const RowKernels& kernels) {
  check(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
            window.x + int64_t{window.width} <= full.width &&
            window.y + int64_t{window.height} <= full.height,
        "a window outside of ", full.width, "x", full.height);
  const bool same_width = full.width == source.width;
  const bool same_height = full.height == source.height;
  const bool horizontal_last = !same_width && vertical_first(source, full);
  AxisFilter horizontal, vertical;
  Columns columns{window.x, window.width};
  if (!same_width) horizontal = make_axis_filter(source.width, full.width, window.x, window.width);
  if (!same_height) vertical = make_axis_filter(source.height, full.height, window.y, window.height);
  if (horizontal_last) columns = crop_inputs(horizontal);
  const int capacity = same_height ? 1 : *std::max_element(vertical.count.begin(), vertical.count.end());
  RowRing ring(source, same_width || horizontal_last ? nullptr : &horizontal, columns, capacity, kernels);

  const size_t bytes = static_cast<size_t>(window.width) * 3;
  std::vector<uint8_t> pixels(bytes * window.height);
  std::vector<uint8_t> between(horizontal_last ? ring.row_bytes() + kRowSlack : 0);
  std::vector<const uint8_t*> rows(capacity);
  for (int y = 0; y < window.height; ++y) {
    uint8_t* out = pixels.data() + bytes * y;
    if (same_height) {
      ring.advance(window.y + y, 1);
      std::memcpy(out, ring.slot(window.y + y), bytes);
      continue;
    }
    const int first = vertical.first[y];
    ring.advance(first, vertical.count[y]);
    for (int i = 0; i < vertical.count[y]; ++i) rows[i] = ring.slot(first + i);
    uint8_t* resized = horizontal_last ? between.data() : out;
    kernels.vertical(resized, rows.data(), vertical, y, static_cast<int>(ring.row_bytes()));
    if (horizontal_last) kernels.horizontal(out, between.data(), horizontal);
  }
  return pixels;
}

std::vector<uint8_t> resize_bicubic_window(const Image& image, Size full, const Window& window,
                                           const RowKernels& kernels) {
  std::vector<uint8_t> last_row;
  return resize_bicubic_window(rows_of(image, last_row), full, window, kernels);
}

const RowKernels& row_kernels(const std::string& isa) {
  return cpu::has_avx2(isa) ? avx2_row_kernels() : scalar_row_kernels();
}

Image resize_bicubic(const Image& image, int width, int height, const RowKernels& kernels) {
  check(width > 0 && height > 0, "resize to ", width, "x", height);
  return {width, height, resize_bicubic_window(image, Size{width, height}, {0, 0, width, height}, kernels)};
}

}  // namespace uhd
