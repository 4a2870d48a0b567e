#include "model/vision/resize_rows.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <array>

namespace uhd {
namespace {

#define UHD_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")))

constexpr int32_t kHalf = 1 << (AxisFilter::kPrecision - 1);
constexpr int kGroup = AxisFilter::kGroup;
constexpr int kDigits = AxisFilter::kDigits;
constexpr int kVector = 64;  // bytes
// A window of a block may begin at the last input and go some groups beyond.
constexpr int kPlaneSlack = AxisFilter::kWindow + kVector;

// bytes[c][i] = 3 i + c: where colour c of pixel i lies in three vectors.
constexpr auto kApart = [] {
  std::array<std::array<uint8_t, kVector>, 3> bytes{};
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < kVector; ++i) bytes[c][i] = static_cast<uint8_t>(3 * i + c);
  return bytes;
}();

// Byte i of 16 RGB pixels lies here in their colours, 16 bytes each.
constexpr auto kTogether = [] {
  std::array<uint8_t, kVector> bytes{};
  for (int i = 0; i < 48; ++i) bytes[i] = static_cast<uint8_t>(i % 3 * 16 + i / 3);
  return bytes;
}();

UHD_AVX512 inline __mmask64 first_bytes(int64_t n) {
  if (n <= 0) return 0;
  return n >= kVector ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
}

// `pixels` of a row, each colour by itself, `stride` bytes apart.
UHD_AVX512 void take_apart(uint8_t* planes, int64_t stride, const uint8_t* row, int pixels) {
  const int64_t bytes = int64_t{3} * pixels;
  for (int x = 0; x < pixels; x += kVector) {
    const uint8_t* in = row + 3 * static_cast<int64_t>(x);
    const int64_t rest = bytes - 3 * static_cast<int64_t>(x);
    const __m512i a = _mm512_maskz_loadu_epi8(first_bytes(rest), in);
    const __m512i b = _mm512_maskz_loadu_epi8(first_bytes(rest - kVector), in + kVector);
    const __m512i c = _mm512_maskz_loadu_epi8(first_bytes(rest - 2 * kVector), in + 2 * kVector);
    for (int colour = 0; colour < 3; ++colour) {
      const __m512i index = _mm512_loadu_si512(kApart[colour].data());
      const __m512i low = _mm512_permutex2var_epi8(a, index, b);
      const __mmask64 in_c = _mm512_movepi8_mask(index);  // from byte 128 on
      _mm512_storeu_si512(planes + colour * stride + x, _mm512_mask_permutexvar_epi8(low, in_c, index, c));
    }
  }
}

// The sum of the digits' products.
UHD_AVX512 inline __m512i joined(const __m512i* digits) {
  const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(digits[0], 8), digits[1]);
  return _mm512_add_epi32(_mm512_slli_epi32(high, 8), digits[2]);
}

UHD_AVX512 inline __m512i rounded(__m512i sum) {
  return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(kHalf)), AxisFilter::kPrecision);
}

UHD_AVX512 inline __m128i clipped(__m512i sums) {
  return _mm512_cvtusepi32_epi8(_mm512_max_epi32(sums, _mm512_setzero_si512()));
}

// Sums of 16 lanes to those of the outputs, whose lanes are neighbours.
UHD_AVX512 inline __m512i of_outputs(__m512i sums, int split) {
  if (split == 1) return sums;
  sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_CDAB));
  if (split == 2) return _mm512_maskz_compress_epi32(0x5555, sums);
  sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_BADC));
  return _mm512_maskz_compress_epi32(0x1111, sums);
}

// All lanes of the block in each colour: the taps of a step are picked from the window at once.
UHD_AVX512 inline void horizontal_block(uint8_t* out, const uint8_t* planes, int64_t stride,
                                        const AxisFilter::Block& block, const uint8_t* lane_inputs,
                                        const int8_t* weights) {
  const __m512i begin = _mm512_loadu_si512(lane_inputs);
  const __m512i step = _mm512_set1_epi8(static_cast<char>(kGroup * block.split));
  __m512i red[kDigits], green[kDigits], blue[kDigits];
  for (int d = 0; d < kDigits; ++d) red[d] = green[d] = blue[d] = _mm512_setzero_si512();
  const uint8_t* in = planes + block.first;
  for (int done = 0; done < block.steps; done += block.steps_of_window) {
    const __m512i r0 = _mm512_loadu_si512(in), r1 = _mm512_loadu_si512(in + kVector);
    const __m512i g0 = _mm512_loadu_si512(in + stride), g1 = _mm512_loadu_si512(in + stride + kVector);
    const __m512i b0 = _mm512_loadu_si512(in + 2 * stride);
    const __m512i b1 = _mm512_loadu_si512(in + 2 * stride + kVector);
    const int steps = std::min(block.steps - done, block.steps_of_window);
    __m512i index = begin;
    for (int i = 0; i < steps; ++i, weights += kDigits * kVector, index = _mm512_add_epi8(index, step)) {
      const __m512i r = _mm512_permutex2var_epi8(r0, index, r1);
      const __m512i g = _mm512_permutex2var_epi8(g0, index, g1);
      const __m512i b = _mm512_permutex2var_epi8(b0, index, b1);
      for (int d = 0; d < kDigits; ++d) {
        const __m512i digits = _mm512_loadu_si512(weights + d * kVector);
        red[d] = _mm512_dpbusd_epi32(red[d], r, digits);
        green[d] = _mm512_dpbusd_epi32(green[d], g, digits);
        blue[d] = _mm512_dpbusd_epi32(blue[d], b, digits);
      }
    }
    in += kGroup * block.split * block.steps_of_window;
  }
  __m512i pixels = _mm512_castsi128_si512(clipped(rounded(of_outputs(joined(red), block.split))));
  pixels = _mm512_inserti32x4(pixels, clipped(rounded(of_outputs(joined(green), block.split))), 1);
  pixels = _mm512_inserti32x4(pixels, clipped(rounded(of_outputs(joined(blue), block.split))), 2);
  pixels = _mm512_permutexvar_epi8(_mm512_loadu_si512(kTogether.data()), pixels);
  _mm512_mask_storeu_epi8(out, first_bytes(int64_t{3} * block.outputs), pixels);
}

UHD_AVX512 void horizontal(uint8_t* out, const uint8_t* row, const AxisFilter& filter,
                           std::vector<uint8_t>& scratch) {
  const int begin = filter.first.front();
  const int pixels = filter.end() - begin;
  const int64_t stride = pixels + kPlaneSlack;
  scratch.resize(static_cast<size_t>(3 * stride));
  take_apart(scratch.data(), stride, row + 3 * static_cast<int64_t>(begin), pixels);
  const uint8_t* lane_inputs = filter.lane_inputs.data();
  for (const AxisFilter::Block& block : filter.blocks) {
    horizontal_block(out, scratch.data() - begin, stride, block, lane_inputs,
                     filter.lane_digits.data() + block.weights);
    out += 3 * static_cast<int64_t>(block.outputs);
    lane_inputs += kVector;
  }
}

// 64 bytes of four rows: a lane of v[i] holds the four of one column. packing puts the columns back in
// their order.
UHD_AVX512 inline void columns_of(__m512i* v, const uint8_t* const* rows, int64_t x, __mmask64 mask) {
  const __m512i a = _mm512_maskz_loadu_epi8(mask, rows[0] + x);
  const __m512i b = _mm512_maskz_loadu_epi8(mask, rows[1] + x);
  const __m512i c = _mm512_maskz_loadu_epi8(mask, rows[2] + x);
  const __m512i d = _mm512_maskz_loadu_epi8(mask, rows[3] + x);
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  v[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
  v[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  v[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
  v[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

UHD_AVX512 inline __m512i four_taps(const int8_t* digit) {
  int32_t taps;
  __builtin_memcpy(&taps, digit, sizeof taps);
  return _mm512_set1_epi32(taps);
}

UHD_AVX512 void vertical(uint8_t* out, const uint8_t* const* rows, const AxisFilter& filter, int index,
                         int bytes) {
  const int count = filter.count[index];
  const int8_t* weights = &filter.digits[static_cast<size_t>(index) * filter.taps * kDigits];
  for (int64_t x = 0; x < bytes; x += kVector) {
    const __mmask64 mask = first_bytes(bytes - x);
    __m512i sums[4][kDigits];
    for (auto& column : sums)
      for (__m512i& sum : column) sum = _mm512_setzero_si512();
    const int8_t* group = weights;
    for (int i = 0; i < count; i += kGroup, group += kDigits * kGroup) {
      // Rows past the last weigh nothing.
      const uint8_t* four[kGroup] = {rows[i], rows[std::min(i + 1, count - 1)],
                                     rows[std::min(i + 2, count - 1)], rows[std::min(i + 3, count - 1)]};
      __m512i values[4];
      columns_of(values, four, x, mask);
      for (int d = 0; d < kDigits; ++d) {
        const __m512i taps = four_taps(group + d * kGroup);
        for (int v = 0; v < 4; ++v) sums[v][d] = _mm512_dpbusd_epi32(sums[v][d], values[v], taps);
      }
    }
    const __m512i low = _mm512_packs_epi32(rounded(joined(sums[0])), rounded(joined(sums[1])));
    const __m512i high = _mm512_packs_epi32(rounded(joined(sums[2])), rounded(joined(sums[3])));
    _mm512_mask_storeu_epi8(out + x, mask, _mm512_packus_epi16(low, high));
  }
}

}  // namespace

const RowKernels& avx512_row_kernels() {
  static constexpr RowKernels kKernels{horizontal, vertical};
  return kKernels;
}

}  // namespace uhd

#else

namespace uhd {
const RowKernels& avx512_row_kernels() { return scalar_row_kernels(); }
}  // namespace uhd

#endif
