// The rows that take the place of an image in the prompt.
#pragma once

#include <vector>

#include "kernels/device_buffer.h"

namespace uhd {

// Rows [first, first + count) of VisualTokens::rows belong to one slice.
struct RowSpan {
  int64_t first = 0;
  int64_t count = 0;
};

// Owns its memory on the encoder's backend.
struct VisualTokens {
  DeviceBuffer memory;
  Tensor rows;                  // [n, H] of the language model, activation type
  std::vector<RowSpan> slices;  // each slice's rows, in the order in which slices were given
};

}  // namespace uhd
