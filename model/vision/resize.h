// Bicubic resize with the pixel semantics of PIL: antialiased support, a = −0.5, two passes in 8-bit fixed
// point (in PIL 13's order), bit for bit. Pure functions, one thread each; memory beside the result is a
// few rows, whatever the sizes. The kernels of every instruction set give the same bytes.
#pragma once

#include <functional>

#include "model/vision/image.h"
#include "model/vision/resize_rows.h"

namespace uhd {

Image resize_bicubic(const Image& image, int width, int height,
                     const RowKernels& kernels = row_kernels("auto"));

// A part of a resized image.
struct Window {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// The window of `image` resized to `full`, without making the rest: u8 RGB [window.height, window.width, 3].
std::vector<uint8_t> resize_bicubic_window(const Image& image, Size full, const Window& window,
                                           const RowKernels& kernels = row_kernels("auto"));

// Bytes that can be read past the end of a row.
inline constexpr int kRowSlack = 32;

// An image that need not lie in memory: row(y) is `width` RGB pixels and kRowSlack readable bytes more, valid
// until the next call. Rows are asked for in ascending order, none twice.
struct RowSource {
  int width = 0;
  int height = 0;
  std::function<const uint8_t*(int y)> row;
};

std::vector<uint8_t> resize_bicubic_window(const RowSource& source, Size full, const Window& window,
                                           const RowKernels& kernels = row_kernels("auto"));

}  // namespace uhd
