// Defines vectors of eight floats by AVX2 and FMA. Only one .cc includes it; everything is internal to that
// file.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace uhd::cpu {
namespace {

struct V {
  using F = __m256;
  using U = __m256i;
  static constexpr int kWidth = 8;
  static constexpr bool kNativeBf16 = false;
  // Sixteen registers hold 12 sums, 2 columns and a broadcast; pairs need two more for their halves.
  static constexpr int kRowsF32 = 6;
  static constexpr int kRowsBf16 = 4;
  static constexpr int kRowsInt8 = 2;
  static constexpr uint32_t kExcess = 0;
  static constexpr int kBlockUnits = 64;  // 16 KiB of a panel stay in the first-level cache
  static constexpr int kVectors = 2;
  static constexpr int kRowVectors = 8;

  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static void store(float* p, F x, int64_t n) { _mm256_maskstore_ps(p, first(n), x); }
  static U load_units(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static void store_units(uint32_t* p, U x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
  static U all_units(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static U minus(U a, U b) { return _mm256_sub_epi32(a, b); }
  static F from_int(U x) { return _mm256_cvtepi32_ps(x); }
  static F broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static U broadcast_units(const uint32_t* p) { return _mm256_set1_epi32(static_cast<int>(*p)); }
  static F all(float x) { return _mm256_set1_ps(x); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F zero_where_less(F x, F bound, F value) {
    return _mm256_and_ps(value, _mm256_cmp_ps(x, bound, _CMP_NLT_UQ));
  }
  static F round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F times_power_of_two(F x, F n) {
    const U exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
  static float sum(F x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
  }
  static float largest(F x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
  }
  static F dot(F sum, U a, U b) { return fma(high(a), high(b), fma(low(a), low(b), sum)); }
  static U dot_int8(U sum, U a, U b) {
    const U even = _mm256_madd_epi16(even_bytes(a), even_bytes(b));
    const U odd = _mm256_madd_epi16(_mm256_srai_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
  }
  static void store_int8(int8_t* p, F x) {
    const U r = _mm256_cvtps_epi32(x);
    const U words = _mm256_permute4x64_epi64(_mm256_packs_epi32(r, r), 0x08);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_castsi256_si128(words));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
  }
  static void store_bf16(uint16_t* p, F x) {
    const U u = _mm256_castps_si256(x);
    const U odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const U up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    const U nan = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const U is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const U r = _mm256_srli_epi32(_mm256_blendv_epi8(up, nan, is_nan), 16);
    const U packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }
  static F load_bf16(const uint16_t* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }

 private:
  static U even_bytes(U x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
  static U first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F low(U pair) { return _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)); }
  static F high(U pair) {
    return _mm256_castsi256_ps(_mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
};

}  // namespace
}  // namespace uhd::cpu
