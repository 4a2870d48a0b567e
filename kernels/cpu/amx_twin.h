// The eight tile registers of AMX in plain C++ that any processor runs: the definition of their arithmetic,
// by which tests run the loops of table `amx` everywhere. Only one .cc includes it; everything is internal to
// that file.
#pragma once

#include <cstdint>
#include <cstring>

namespace uhd::cpu {
namespace {

class Tiles {
 public:
  Tiles() { std::memset(tiles_, 0, sizeof tiles_); }

  template <int kTile>
  void zero() {
    std::memset(tiles_[kTile], 0, sizeof tiles_[kTile]);
  }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    for (int r = 0; r < 16; ++r)
      std::memcpy(tiles_[kTile][r], static_cast<const char*>(from) + r * stride, 64);
  }
  template <int kTile>
  void load_once(const void* from, int64_t stride) {
    load<kTile>(from, stride);
  }
  template <int kTile>
  void store(void* to, int64_t stride) {
    for (int r = 0; r < 16; ++r) std::memcpy(static_cast<char*>(to) + r * stride, tiles_[kTile][r], 64);
  }

  // TDPBF16PS: c f32 [16][16] += a [16][32] · b [16 pairs][16]. Each output has two chains of fused
  // multiply-adds from zero, over the first and the second of each pair, in the order of the pairs; then c +=
  // first + second. Everything is rounded to nearest even, and denormal operands and results count as zero.
  // (Compared with the instruction on 512,000 outputs: no bit differed.)
  template <int kC, int kA, int kB>
  void dot_bf16() {
    double b[2][16][16];  // [first or second][pair][n]
    for (int pair = 0; pair < 16; ++pair)
      for (int n = 0; n < 16; ++n) {
        b[0][pair][n] = low(tiles_[kB][pair][n]);
        b[1][pair][n] = high(tiles_[kB][pair][n]);
      }
    for (int row = 0; row < 16; ++row) {
      float sums[2][16] = {};
      for (int pair = 0; pair < 16; ++pair) {
        const double a[2] = {low(tiles_[kA][row][pair]), high(tiles_[kA][row][pair])};
        for (int half = 0; half < 2; ++half)
          for (int n = 0; n < 16; ++n) sums[half][n] = fused(a[half], b[half][pair][n], sums[half][n]);
      }
      for (int n = 0; n < 16; ++n) {
        const float c = flushed(__builtin_bit_cast(float, tiles_[kC][row][n]));
        const float sum = flushed(c + flushed(sums[0][n] + sums[1][n]));
        tiles_[kC][row][n] = __builtin_bit_cast(uint32_t, sum);
      }
    }
  }

  // TDPBSSD: c i32 [16][16] += a [16][64] · b [16 quads][16], of signed bytes; exact modulo 2^32.
  template <int kC, int kA, int kB>
  void dot_int8() {
    for (int row = 0; row < 16; ++row)
      for (int quad = 0; quad < 16; ++quad)
        for (int n = 0; n < 16; ++n)
          for (int shift = 0; shift < 32; shift += 8)
            tiles_[kC][row][n] +=
                static_cast<uint32_t>(byte(tiles_[kA][row][quad], shift) * byte(tiles_[kB][quad][n], shift));
  }

 private:
  static float flushed(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    return __builtin_bit_cast(float, (bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
  }
  static float low(uint32_t pair) { return flushed(__builtin_bit_cast(float, pair << 16)); }
  static float high(uint32_t pair) { return flushed(__builtin_bit_cast(float, pair & 0xffff0000u)); }
  // Returns a · b + c rounded once: a product of bfloat16 has 16 bits, so that double holds it, and where
  // double rounds the sum, one side is so small that the other, which float holds, is the result.
  static float fused(double a, double b, float c) { return flushed(static_cast<float>(a * b + c)); }
  static int32_t byte(uint32_t quad, int shift) { return static_cast<int32_t>(quad << (24 - shift)) >> 24; }

  uint32_t tiles_[8][16][16];
};

}  // namespace
}  // namespace uhd::cpu
