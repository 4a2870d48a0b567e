// Resize with the pixel semantics of PIL, bicubic or Lanczos: antialiased support, two passes in 8-bit fixed
// point (in PIL 13's order), bit for bit. One thread each; memory beside the result is a few rows, whatever
// the sizes. The kernels of every instruction set give the same bytes.
#pragma once

#include "model/vision/image.h"
#include "model/vision/orientation.h"
#include "model/vision/resize_rows.h"

namespace uhd {

// A part of a resized image.
struct Window {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// Rows of an image in, rows of the window of the image resized to `full` out, each as soon as its inputs are
// there. Sizes and window are upright; rows are as stored, in and out, and equal those of the upright picture
// resized: then the passes and the weights of an axis change places, and nothing else does.
class ResizeStream {
 public:
  ResizeStream(Size image, Size full, const Window& window, Orientation orientation,
               const RowKernels& kernels, RowSink out, ResizeFilter kind = ResizeFilter::bicubic);

  // The next stored row, which has kRowSlack readable bytes past its end, `times` times.
  void push(const uint8_t* row, int64_t times = 1);

 private:
  uint8_t* slot(int64_t y) { return ring_.data() + ring_bytes_ * static_cast<size_t>(y % capacity_); }
  void keep(int64_t y, const uint8_t* row);
  void give_next();

  const RowKernels& kernels_;
  const RowSink out_;
  AxisFilter across_, down_;  // the filters of stored columns and rows
  bool keeps_rows_;           // rows are kept as they are: the pass across comes last, or there is none
  int first_column_ = 0;      // the first of the columns in use, if rows are kept
  int64_t capacity_;          // rows of the ring
  size_t ring_bytes_;         // bytes of each row of the ring
  std::vector<uint8_t> ring_;
  std::vector<const uint8_t*> rows_;  // inputs of one output
  std::vector<uint8_t> between_;      // one row between the pass down and the one across
  std::vector<uint8_t> row_;          // one row of the result
  std::vector<uint8_t> scratch_;
  int64_t pushed_ = 0;
  int given_ = 0;
};

Image resize_bicubic(const Image& image, int width, int height,
                     const RowKernels& kernels = row_kernels("auto"));

// The window of `image` resized to `full`, without making the rest: u8 RGB [window.height, window.width, 3].
std::vector<uint8_t> resize_bicubic_window(const Image& image, Size full, const Window& window,
                                           const RowKernels& kernels = row_kernels("auto"));

// Gives the rows of an image that lies in memory.
void give_image_rows(const Image& image, const RowSink& sink);

}  // namespace uhd
