// The two inner loops of the resize, per instruction set. The scalar ones are the definition; the others
// equal them bit for bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uhd {

// For each output position along one axis: the inputs it is made of and their weights. A weight is 22-bit
// fixed point and lies within (−1, 2). It is also kept as high · 256 + low, both 16 bits, for multiply-add
// instructions of 16 bits: sums of the two halves, put together at the end, are exact.
struct AxisFilter {
  static constexpr int kPrecision = 22;
  static constexpr int kGroup = 4;  // taps of one vector step

  int taps = 0;                  // room per output, a multiple of kGroup; weights past `count` are 0
  std::vector<int32_t> first;    // [outputs]
  std::vector<int32_t> count;    // [outputs]
  std::vector<int32_t> weights;  // [outputs, taps]
  std::vector<int16_t> halves;   // [outputs, taps / kGroup, {high, low}, kGroup]
};

// Of outputs [begin, begin + outputs) of `in` pixels resized to `out`: the bicubic of a = −0.5, stretched
// where the axis shrinks.
AxisFilter make_axis_filter(int in, int64_t out, int begin, int outputs);

struct RowKernels {
  // out: one RGB pixel per output of the filter. `row` has kRowSlack readable bytes past its end.
  void (*horizontal)(uint8_t* out, const uint8_t* row, const AxisFilter& filter);
  // out[i] = the weighted sum of rows[0..count)[i] for output `index` of the filter; `bytes` of each.
  void (*vertical)(uint8_t* out, const uint8_t* const* rows, const AxisFilter& filter, int index, int bytes);
};

// The kernels for backend.isa: "auto" or a name. An instruction set that this machine lacks is an Error
// (kernels/cpu/isa.h).
const RowKernels& row_kernels(const std::string& isa);

const RowKernels& scalar_row_kernels();
const RowKernels& avx2_row_kernels();  // the scalar ones where this is not built for x86-64

}  // namespace uhd
