#include <algorithm>

#include "model/vision/resize_rows.h"

namespace uhd {
namespace {

constexpr int32_t kHalf = 1 << (AxisFilter::kPrecision - 1);

uint8_t clipped(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> AxisFilter::kPrecision, 0, 255));
}

void horizontal(uint8_t* out, const uint8_t* row, const AxisFilter& filter, std::vector<uint8_t>&) {
  for (size_t x = 0; x < filter.first.size(); ++x) {
    const int32_t* weights = &filter.weights[x * filter.taps];
    const uint8_t* pixel = row + 3 * filter.first[x];
    int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int i = 0; i < filter.count[x]; ++i, pixel += 3) {
      red += pixel[0] * weights[i];
      green += pixel[1] * weights[i];
      blue += pixel[2] * weights[i];
    }
    *out++ = clipped(red);
    *out++ = clipped(green);
    *out++ = clipped(blue);
  }
}

void vertical(uint8_t* out, const uint8_t* const* rows, const AxisFilter& filter, int index, int bytes) {
  const int32_t* weights = &filter.weights[static_cast<size_t>(index) * filter.taps];
  const int count = filter.count[index];
  for (int x = 0; x < bytes; ++x) {
    int32_t sum = kHalf;
    for (int i = 0; i < count; ++i) sum += rows[i][x] * weights[i];
    out[x] = clipped(sum);
  }
}

}  // namespace

const RowKernels& scalar_row_kernels() {
  static constexpr RowKernels kKernels{horizontal, vertical};
  return kKernels;
}

}  // namespace uhd
