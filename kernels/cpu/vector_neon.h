// Defines vectors of four floats by NEON of arm64; where the file's flags allow, products of bfloat16 and of
// bytes by its dot and matrix instructions. Only one .cc includes it; everything is internal to that file.
//
// The arithmetic of BFDOT and BFMMLA (Arm's manual, BFDotAdd): both products of a pair are added first, then
// that to the sum, each rounded to odd, and denormals are flushed. BFMMLA takes two pairs one after the
// other, so that both have the same bits.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace uhd::cpu {
namespace {

struct V {
  using F = float32x4_t;
  using U = uint32x4_t;
  static constexpr int kWidth = 4;
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  static constexpr bool kNativeBf16 = true;
#else
  static constexpr bool kNativeBf16 = false;
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
  static constexpr int kRowsInt8 = 6;
#else
  static constexpr int kRowsInt8 = 4;
#endif
  // Six rows of four vectors take 24 sums of 32 registers; the matrix instructions as many.
  static constexpr int kRowsF32 = 6;
  static constexpr int kRowsBf16 = kNativeBf16 ? 6 : 4;
  static constexpr uint32_t kExcess = 0;
  static constexpr int kBlockUnits = 64;  // 16 KiB of a panel stay in the first-level cache
  static constexpr int kVectors = 4;
  static constexpr int kRowVectors = 8;

  static F load(const float* p) { return vld1q_f32(p); }
  static F load(const float* p, int64_t n) {
    float part[kWidth] = {};
    std::memcpy(part, p, static_cast<size_t>(n) * sizeof(float));
    return vld1q_f32(part);
  }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static void store(float* p, F x, int64_t n) {
    float part[kWidth];
    vst1q_f32(part, x);
    std::memcpy(p, part, static_cast<size_t>(n) * sizeof(float));
  }
  static U load_units(const uint32_t* p) { return vld1q_u32(p); }
  static void store_units(uint32_t* p, U x) { vst1q_u32(p, x); }
  static U all_units(uint32_t x) { return vdupq_n_u32(x); }
  static U minus(U a, U b) { return vsubq_u32(a, b); }
  static F from_int(U x) { return vcvtq_f32_s32(vreinterpretq_s32_u32(x)); }
  static F broadcast(const float* p) { return vld1q_dup_f32(p); }
  static U broadcast_units(const uint32_t* p) { return vld1q_dup_u32(p); }
  static F all(float x) { return vdupq_n_f32(x); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }  // b where either is NaN
  static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static F zero_where_less(F x, F bound, F value) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value), vcltq_f32(x, bound)));
  }
  static F round(F x) { return vrndnq_f32(x); }
  static F times_power_of_two(F x, F n) {  // n integral, result normal
    const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
  }
  static float sum(F x) {
    const float32x2_t halves = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(halves, 0) + vget_lane_f32(halves, 1);
  }
  static float largest(F x) { return vmaxvq_f32(x); }
  static F dot(F sum, U a, U b) {
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return vbfdotq_f32(sum, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(b));
#else
    return fma(high(a), high(b), fma(low(a), low(b), sum));
#endif
  }
  static U dot_int8(U sum, U a, U b) {
    const int8x16_t x = vreinterpretq_s8_u32(a), y = vreinterpretq_s8_u32(b);
#if defined(__ARM_FEATURE_DOTPROD)
    return vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(sum), x, y));
#else
    const int32x4_t first = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    const int32x4_t last = vpaddlq_s16(vmull_s8(vget_high_s8(x), vget_high_s8(y)));
    return vaddq_u32(sum, vreinterpretq_u32_s32(vpaddq_s32(first, last)));
#endif
  }
  // These multiply two rows by two columns: a holds two units of each row, b two of each column, and the sum
  // is [row][column].
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  static F dot_square(F sum, U a, U b) {
    return vbfmmlaq_f32(sum, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(b));
  }
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
  static U dot_int8_square(U sum, U a, U b) {
    return vreinterpretq_u32_s32(
        vmmlaq_s32(vreinterpretq_s32_u32(sum), vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b)));
  }
#endif
  static void store_int8(int8_t* p, F x) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(x));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
    const uint32_t quad = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
    std::memcpy(p, &quad, sizeof quad);
  }
  static void store_bf16(uint16_t* p, F x) {
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    vst1_u16(p, vreinterpret_u16_bf16(vcvt_bf16_f32(x)));
#else
    const U u = vreinterpretq_u32_f32(x);
    const U odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const U up = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
    const U nan = vorrq_u32(u, vdupq_n_u32(0x400000));
    vst1_u16(p, vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), up, nan), 16));
#endif
  }
  static F load_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }

  // These rearrange lanes for squares of two rows and two columns (tile.h).
  static U two_units(const uint32_t* first, const uint32_t* second) {
    return vcombine_u32(vld1_u32(first), vld1_u32(second));
  }
  static U zip_low(U a, U b) { return vzip1q_u32(a, b); }
  static U zip_high(U a, U b) { return vzip2q_u32(a, b); }
  static U low_halves(U a, U b) { return vcombine_u32(vget_low_u32(a), vget_low_u32(b)); }
  static U high_halves(U a, U b) { return vcombine_u32(vget_high_u32(a), vget_high_u32(b)); }
  static F low_halves(F a, F b) { return vcombine_f32(vget_low_f32(a), vget_low_f32(b)); }
  static F high_halves(F a, F b) { return vcombine_f32(vget_high_f32(a), vget_high_f32(b)); }

 private:
  [[maybe_unused]] static F low(U pair) { return vreinterpretq_f32_u32(vshlq_n_u32(pair, 16)); }
  [[maybe_unused]] static F high(U pair) {
    return vreinterpretq_f32_u32(vandq_u32(pair, vdupq_n_u32(0xffff0000u)));
  }
};

}  // namespace
}  // namespace uhd::cpu
