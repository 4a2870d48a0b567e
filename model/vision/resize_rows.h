// The two inner loops of the resize, per instruction set. The scalar ones are the definition; the others
// equal them bit for bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uhd {

// For each output position along one axis: the inputs it is made of and their weights. A weight is 22-bit
// fixed point and lies within (−1, 1.5). It is also kept as what multiply-add instructions take: high · 256 +
// low, both 16 bits, and three signed digits of 8 bits. Sums of the parts, put together at the end, are
// exact.
struct AxisFilter {
  static constexpr int kPrecision = 22;
  static constexpr int kGroup = 4;  // taps of one vector step
  static constexpr int kLanes = 16;
  static constexpr int kDigits = 3;
  static constexpr int kWindow = 128;  // inputs

  int taps = 0;                  // room per output, a multiple of kGroup; weights past `count` are 0
  std::vector<int32_t> first;    // [outputs]; never goes down, nor does first + count
  std::vector<int32_t> count;    // [outputs], at least 1
  std::vector<int32_t> weights;  // [outputs, taps]
  std::vector<int16_t> halves;   // [outputs, taps / kGroup, {high, low}, kGroup]
  std::vector<int8_t> digits;    // [outputs, taps / kGroup, {of 65536, of 256, of 1}, kGroup]

  // Neighbouring outputs, each in `split` lanes that take its groups by turns. One step takes a group of
  // every lane from a window of the inputs, and the window serves `steps_of_window` steps.
  struct Block {
    int32_t first;    // input of the first output's first tap
    int32_t outputs;  // their number, at most kLanes / split
    int32_t split;    // 1, 2 or 4
    int32_t steps;
    int32_t steps_of_window;
    int32_t weights;  // its first one's place in lane_digits
  };
  std::vector<Block> blocks;
  std::vector<uint8_t> lane_inputs;  // [blocks, kLanes, kGroup], from the block's first
  std::vector<int8_t> lane_digits;   // [blocks, steps, kDigits, kLanes, kGroup]

  bool copies = false;  // each output is one input
  int outputs() const { return static_cast<int>(first.size()); }
  int end() const { return first.back() + count.back(); }  // the end of the inputs in use
};

// PIL's filters: the bicubic of a = −0.5, and Lanczos' with three lobes.
enum class ResizeFilter : uint8_t { bicubic, lanczos };

// Returns the filter of outputs [begin, begin + outputs) of `in` pixels resized to `out`, stretched where the
// axis shrinks. `mirrored`: inputs and outputs are counted from the other end, with the same weights.
AxisFilter make_axis_filter(int in, int64_t out, int begin, int outputs, bool mirrored = false,
                            ResizeFilter kind = ResizeFilter::bicubic);

// The filter's first input becomes input 0; returns which one it was.
int crop_inputs(AxisFilter& filter);

struct RowKernels {
  // out: one RGB pixel per output of the filter. `row` has kRowSlack readable bytes past its end; `scratch`
  // is the kernel's own, from call to call.
  void (*horizontal)(uint8_t* out, const uint8_t* row, const AxisFilter& filter,
                     std::vector<uint8_t>& scratch);
  // out[i] = the weighted sum of rows[0..count)[i] for output `index` of the filter; `bytes` of each.
  void (*vertical)(uint8_t* out, const uint8_t* const* rows, const AxisFilter& filter, int index, int bytes);
};

// The kernels for backend.isa: "auto" or a name. An instruction set that this machine lacks is an Error
// (kernels/cpu/isa.h).
const RowKernels& row_kernels(const std::string& isa);

const RowKernels& scalar_row_kernels();
const RowKernels& avx2_row_kernels();    // the scalar ones where this is not built for x86-64
const RowKernels& avx512_row_kernels();  // likewise; they need VBMI and VNNI

}  // namespace uhd
