#include "model/vision/resize_rows.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace uhd {
namespace {

#define UHD_AVX2 __attribute__((target("avx2")))

constexpr int32_t kHalf = 1 << (AxisFilter::kPrecision - 1);

// Each 16-bit pair of the lower lane gets taps 0 and 1 of a group, of the upper lane taps 2 and 3.
UHD_AVX2 inline __m256i spread_group(const int16_t* group) {
  const __m256i spread = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,  //
                                          4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  int64_t taps;
  std::memcpy(&taps, group, sizeof(taps));
  return _mm256_shuffle_epi8(_mm256_set1_epi64x(taps), spread);
}

// high · 256 + low, rounded and shifted: the sum of the weights' halves.
UHD_AVX2 inline __m256i joined(__m256i high, __m256i low) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kHalf)), AxisFilter::kPrecision);
}

UHD_AVX2 inline __m128i both_lanes(__m256i x) {
  return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

// One output pixel at a time: four RGB pixels a step, (r0 r1)(g0 g1)(b0 b1) in one lane and (r2 r3)… in the
// other.
UHD_AVX2 void horizontal(uint8_t* out, const uint8_t* row, const AxisFilter& filter, std::vector<uint8_t>&) {
  constexpr int kGroup = AxisFilter::kGroup;
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const int outputs = static_cast<int>(filter.first.size());
  const int16_t* halves = filter.halves.data();
  for (int x = 0; x < outputs; ++x, out += 3, halves += 2 * filter.taps) {
    const uint8_t* pixel = row + 3 * filter.first[x];
    __m256i high = _mm256_setzero_si256();
    __m256i low = _mm256_setzero_si256();
    const int16_t* group = halves;
    for (int i = 0; i < filter.count[x]; i += kGroup, pixel += 3 * kGroup, group += 2 * kGroup) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel));
      const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pairs);
      high = _mm256_add_epi32(high, _mm256_madd_epi16(values, spread_group(group)));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(values, spread_group(group + kGroup)));
    }
    __m128i sum = _mm_add_epi32(_mm_slli_epi32(both_lanes(high), 8), both_lanes(low));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kHalf)), AxisFilter::kPrecision);
    const __m128i words = _mm_packs_epi32(sum, sum);
    const int packed = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(out, &packed, x + 1 < outputs ? 4 : 3);
  }
}

UHD_AVX2 inline __m256i row_words(const uint8_t* row) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
}

// Weights of taps i and i + 1 in every 32-bit lane.
UHD_AVX2 inline __m256i tap_pair(const int16_t* halves, int i, int half) {
  constexpr int kGroup = AxisFilter::kGroup;
  int32_t pair;
  std::memcpy(&pair, halves + (i / kGroup * 2 + half) * kGroup + i % kGroup, sizeof(pair));
  return _mm256_set1_epi32(pair);
}

// 16 bytes at a time, two rows a step.
UHD_AVX2 inline void vertical_block(uint8_t* out, const uint8_t* const* rows, const int16_t* halves,
                                    int count, int x) {
  __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int i = 0; i < count; i += 2) {
    const __m256i a = row_words(rows[i] + x);
    const __m256i b = row_words(rows[i + 1 < count ? i + 1 : i] + x);
    const __m256i values[2] = {_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
    const __m256i high_weights = tap_pair(halves, i, 0);
    const __m256i low_weights = tap_pair(halves, i, 1);
    for (int side = 0; side < 2; ++side) {
      high[side] = _mm256_add_epi32(high[side], _mm256_madd_epi16(values[side], high_weights));
      low[side] = _mm256_add_epi32(low[side], _mm256_madd_epi16(values[side], low_weights));
    }
  }
  const __m256i words = _mm256_packs_epi32(joined(high[0], low[0]), joined(high[1], low[1]));
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), bytes);
}

UHD_AVX2 void vertical(uint8_t* out, const uint8_t* const* rows, const AxisFilter& filter, int index,
                       int bytes) {
  constexpr int kBlock = 16;
  if (bytes < kBlock) return scalar_row_kernels().vertical(out, rows, filter, index, bytes);
  const int16_t* halves = &filter.halves[static_cast<size_t>(index) * 2 * filter.taps];
  const int count = filter.count[index];
  for (int x = 0; x + kBlock <= bytes; x += kBlock) vertical_block(out, rows, halves, count, x);
  if (bytes % kBlock != 0) vertical_block(out, rows, halves, count, bytes - kBlock);
}

}  // namespace

const RowKernels& avx2_row_kernels() {
  static constexpr RowKernels kKernels{horizontal, vertical};
  return kKernels;
}

}  // namespace uhd

#else

namespace uhd {
const RowKernels& avx2_row_kernels() { return scalar_row_kernels(); }
}  // namespace uhd

#endif
