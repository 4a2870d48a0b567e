// Defines vectors of sixteen floats by AVX-512 F, BW, DQ and VL. Only one .cc includes it; everything is
// internal to that file.
#pragma once

#if !defined(__clang__)  // false alarms inside g++ 12's own intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstdint>

namespace uhd::cpu {
namespace {

struct V {
  using F = __m512;
  using U = __m512i;
  static constexpr int kWidth = 16;
#if defined(__AVX512BF16__)
  static constexpr bool kNativeBf16 = true;
  static constexpr int kRowsBf16 = 6;
#else
  static constexpr bool kNativeBf16 = false;
  static constexpr int kRowsBf16 = 4;
#endif
#if defined(__AVX512VNNI__)
  static constexpr int kRowsInt8 = 6;
  static constexpr uint32_t kExcess = 128;  // dot_int8 takes its b as code + 128
#else
  static constexpr int kRowsInt8 = 3;
  static constexpr uint32_t kExcess = 0;
#endif
  // Six rows of four vectors take 24 sums, 4 columns and a broadcast in 32 registers.
  static constexpr int kRowsF32 = 6;
  static constexpr int kBlockUnits = 512;  // 128 KiB of a panel stay in the second-level cache
  static constexpr int kVectors = 4;
  static constexpr int kRowVectors = 4;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void store(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, first(n), x); }
  static U load_units(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static void store_units(uint32_t* p, U x) { _mm512_storeu_si512(p, x); }
  static U all_units(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static U minus(U a, U b) { return _mm512_sub_epi32(a, b); }
  static F from_int(U x) { return _mm512_cvtepi32_ps(x); }
  static F broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static U broadcast_units(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static F all(float x) { return _mm512_set1_ps(x); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F zero_where_less(F x, F bound, F value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), value);
  }
  static F round(F x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F times_power_of_two(F x, F n) { return _mm512_scalef_ps(x, n); }
  static float sum(F x) { return _mm512_reduce_add_ps(x); }
  static float largest(F x) { return _mm512_reduce_max_ps(x); }
  static F dot(F sum, U a, U b) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
    return fma(high(a), high(b), fma(low(a), low(b), sum));
#endif
  }
  static U dot_int8(U sum, U a, U b) {
#if defined(__AVX512VNNI__)
    return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(b, all_units(0x80808080u)), a);
#else
    const U even = _mm512_madd_epi16(even_bytes(a), even_bytes(b));
    const U odd = _mm512_madd_epi16(_mm512_srai_epi16(a, 8), _mm512_srai_epi16(b, 8));
    return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
#endif
  }
  static void store_int8(int8_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  static void store_bf16(uint16_t* p, F x) {
#if defined(__AVX512BF16__)
    const __m256i r = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
#else
    const U u = _mm512_castps_si512(x);
    const U odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const U up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    const U nan = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m256i r = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(up, is_nan, nan), 16));
#endif
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), r);
  }
  static F load_bf16(const uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }

 private:
  [[maybe_unused]] static U even_bytes(U x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
  static __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  [[maybe_unused]] static F low(U pair) { return _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)); }
  [[maybe_unused]] static F high(U pair) {
    return _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
};

}  // namespace
}  // namespace uhd::cpu
