// Writes weights as codes with scales, w ≈ code · scale: pack does this for fp8, int8 and int4. All
// arithmetic is f32, so that every backend and machine has the same codes.
//
// - fp8: the code is e4m3 (bias 7, largest 448), to nearest even. A row has one scale: its largest |w| /
//   448, rounded up to 4 significant bits.
// - int8: the code is −127 … 127, w / scale to nearest even. A row has one scale: its largest |w| / 127.
// - int4: the code is −7 … 7, likewise. Each kGroup inputs have one scale: their largest |w| / 7, rounded to
//   5 significant bits.
//
// So code · scale is exact in bfloat16 for fp8 and int4. |w − code · scale| is at most max(|w| / 16, scale /
// 1024) for fp8 and scale / 2 for int8 and int4. If the largest |w| is below 1e-30 all codes are zero; if it
// is not finite the scale is NaN, and so is every product, as it would be without codes.
#pragma once

#include <span>
#include <vector>

#include "kernels/weight.h"

namespace uhd {

constexpr int64_t kGroup = 32;  // the inputs that share a scale in int4: 4.5 bits a weight
constexpr int64_t groups_of(int64_t k) { return (k + kGroup - 1) / kGroup; }

uint8_t to_e4m3(float x);  // rounds to nearest even; beyond ±448 to the largest; NaN is not allowed
float from_e4m3(uint8_t code);

// Quantizes the rows of a host matrix (f32, bf16 or f16), one at a time.
class RowQuantizer {
 public:
  // `whole` holds `host` as some of its columns: scales of rows are taken from it, so that a shard has the
  // codes of the whole. Groups are counted from the first column of `host`.
  RowQuantizer(Tensor host, Tensor whole, WeightFormat format);

  void quantize(int64_t row);
  // Returns the codes [K] of that row, a byte each: the bits of e4m3, or two's complement.
  std::span<const uint8_t> codes() const { return codes_; }
  std::span<const float> scales() const { return scales_; }  // one, or [groups_of(K)]

 private:
  Tensor host_;
  Tensor whole_;
  WeightFormat format_;
  std::vector<float> row_;
  std::vector<float> whole_row_;
  std::vector<uint8_t> codes_;
  std::vector<float> scales_;
};

// Returns the bytes of a matrix [n, k] with its scales, without a backend's padding.
size_t bytes_of(WeightFormat format, int64_t n, int64_t k);

}  // namespace uhd
