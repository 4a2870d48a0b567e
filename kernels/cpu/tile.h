// Computes the register tile under matmul and attention, over the vector type V of the including file; it is
// internal to that file.
#pragma once

#include <cstdint>

namespace uhd::cpu {
namespace {

constexpr int kLine = 16;  // units in a cache line

// F32Units forms products of float units.
template <class V>
struct F32Units {
  using Unit = float;
  using B = typename V::F;
  using Sum = typename V::F;
  using Element = float;
  static constexpr int kRows = V::kRowsF32;
  static constexpr bool kSquares = false;
  static constexpr int kPerUnit = 1;
  static Sum zero() { return V::all(0.0f); }
  static Sum load_sum(const Element* p) { return V::load(p); }
  static void store_sum(Element* p, Sum x) { V::store(p, x); }
  static B load(const Unit* p) { return V::load(p); }
  static B broadcast(const Unit* p) { return V::broadcast(p); }
  static typename V::F multiply_add(typename V::F sum, B a, B b) { return V::fma(a, b, sum); }
};

// Bf16Units forms products of pairs of bfloat16, summed in float.
template <class V>
struct Bf16Units {
  using Unit = uint32_t;
  using B = typename V::U;
  using Sum = typename V::F;
  using Element = float;
  static constexpr int kRows = V::kRowsBf16;
  static constexpr bool kSquares = requires(Sum sum, B a) { V::dot_square(sum, a, a); };
  static constexpr int kPerUnit = 2;
  static Sum zero() { return V::all(0.0f); }
  static Sum load_sum(const Element* p) { return V::load(p); }
  static void store_sum(Element* p, Sum x) { V::store(p, x); }
  static B load(const Unit* p) { return V::load_units(p); }
  static B broadcast(const Unit* p) { return V::broadcast_units(p); }
  static typename V::F multiply_add(typename V::F sum, B a, B b) { return V::dot(sum, a, b); }
  static Sum multiply_add_square(Sum sum, B a, B b) { return V::dot_square(sum, a, b); }
};

// Int8Units forms products of quads of signed bytes, summed modulo 2^32. Each sum is larger by V::kExcess
// times the sum of a's bytes, which the caller takes away.
template <class V>
struct Int8Units {
  using Unit = uint32_t;
  using B = typename V::U;
  using Sum = typename V::U;
  using Element = uint32_t;
  static constexpr int kRows = V::kRowsInt8;
  static constexpr bool kSquares = requires(Sum sum, B a) { V::dot_int8_square(sum, a, a); };
  static constexpr int kPerUnit = 4;
  static Sum zero() { return V::all_units(0); }
  static Sum load_sum(const Element* p) { return V::load_units(p); }
  static void store_sum(Element* p, Sum x) { V::store_units(p, x); }
  static B load(const Unit* p) { return V::load_units(p); }
  static B broadcast(const Unit* p) { return V::broadcast_units(p); }
  static Sum multiply_add(Sum sum, B a, B b) { return V::dot_int8(sum, a, b); }
  static Sum multiply_add_square(Sum sum, B a, B b) { return V::dot_int8_square(sum, a, b); }
};

// Computes register_tile's rows, an even number, by squares of two rows and two columns and two units at a
// time, for vectors of four. The instruction adds one unit's products after the other's, so a square's bits
// are those of multiply_add.
template <class V, class Units, int kRows, int kVectors, int kAhead>
inline void square_tile(typename Units::Element* c, int64_t c_stride, const typename Units::Unit* a,
                        int64_t a_stride, const typename Units::Unit* b, int64_t b_stride, int64_t units,
                        bool add, const typename Units::Unit* ahead) {
  static_assert(V::kWidth == 4 && kRows % 2 == 0);
  using B = typename Units::B;
  typename Units::Sum sum[kRows / 2][kVectors][2];  // columns 0 and 1, 2 and 3 of each vector
  for (int r = 0; r < kRows / 2; ++r) {
    for (int j = 0; j < kVectors; ++j) {
      const typename Units::Element* at = c + 2 * r * c_stride + j * V::kWidth;
      const auto even = add ? Units::load_sum(at) : Units::zero();
      const auto odd = add ? Units::load_sum(at + c_stride) : Units::zero();
      sum[r][j][0] = V::low_halves(even, odd);
      sum[r][j][1] = V::high_halves(even, odd);
    }
  }
  const auto take = [&](const B* rows, const B* even, const B* odd) {
    for (int j = 0; j < kVectors; ++j) {
      const B first = V::zip_low(even[j], odd[j]), last = V::zip_high(even[j], odd[j]);
      for (int r = 0; r < kRows / 2; ++r) {
        sum[r][j][0] = Units::multiply_add_square(sum[r][j][0], rows[r], first);
        sum[r][j][1] = Units::multiply_add_square(sum[r][j][1], rows[r], last);
      }
    }
  };
  B rows[kRows / 2], even[kVectors], odd[kVectors];
  int64_t u = 0;
  for (; u + 2 <= units; u += 2) {
    if constexpr (kAhead > 0) {
      for (int j = 0; j < 2 * kAhead; ++j)
        __builtin_prefetch(ahead + j / kAhead * b_stride + j % kAhead * kLine, 0, 2);
      ahead += 2 * b_stride;
    }
    for (int r = 0; r < kRows / 2; ++r) {
      const typename Units::Unit* at = a + 2 * r * a_stride + u;
      rows[r] = V::two_units(at, at + a_stride);
    }
    for (int j = 0; j < kVectors; ++j) {
      even[j] = Units::load(b + j * V::kWidth);
      odd[j] = Units::load(b + b_stride + j * V::kWidth);
    }
    take(rows, even, odd);
    b += 2 * b_stride;
  }
  if (u < units) {
    for (int r = 0; r < kRows / 2; ++r) {
      const typename Units::Unit* at = a + 2 * r * a_stride + u;
      const typename Units::Unit first[2] = {at[0], 0}, second[2] = {at[a_stride], 0};
      rows[r] = V::two_units(first, second);
    }
    for (int j = 0; j < kVectors; ++j) {
      even[j] = Units::load(b + j * V::kWidth);
      odd[j] = V::all_units(0);
    }
    take(rows, even, odd);
  }
  for (int r = 0; r < kRows / 2; ++r) {
    for (int j = 0; j < kVectors; ++j) {
      typename Units::Element* at = c + 2 * r * c_stride + j * V::kWidth;
      Units::store_sum(at, V::low_halves(sum[r][j][0], sum[r][j][1]));
      Units::store_sum(at + c_stride, V::high_halves(sum[r][j][0], sum[r][j][1]));
    }
  }
}

// Computes c [rows, vectors · width] = (add ? c : 0) + a · b over `units`. kRows x kVectors accumulators live
// in registers. On the way it prefetches kAhead lines of each row of b at `ahead` into
// the second-level cache: the first has too few buffers for lines under way to keep memory busy.
template <class V, class Units, int kRows, int kVectors, int kAhead = 0>
inline void register_tile(typename Units::Element* c, int64_t c_stride, const typename Units::Unit* a,
                          int64_t a_stride, const typename Units::Unit* b, int64_t b_stride, int64_t units,
                          bool add, const typename Units::Unit* ahead = nullptr) {
  if constexpr (Units::kSquares && kRows > 1) {
    constexpr int kPaired = kRows / 2 * 2;
    square_tile<V, Units, kPaired, kVectors, kAhead>(c, c_stride, a, a_stride, b, b_stride, units, add,
                                                     ahead);
    if constexpr (kPaired < kRows)
      register_tile<V, Units, 1, kVectors>(c + kPaired * c_stride, c_stride, a + kPaired * a_stride, a_stride,
                                           b, b_stride, units, add);
    return;
  }
  typename Units::Sum sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVectors; ++j)
      sum[r][j] = add ? Units::load_sum(c + r * c_stride + j * V::kWidth) : Units::zero();
  for (int64_t u = 0; u < units; ++u) {
    if constexpr (kAhead > 0) {
      for (int j = 0; j < kAhead; ++j) __builtin_prefetch(ahead + j * kLine, 0, 2);
      ahead += b_stride;
    }
    typename Units::B column[kVectors];
    for (int j = 0; j < kVectors; ++j) column[j] = Units::load(b + j * V::kWidth);
    for (int r = 0; r < kRows; ++r) {
      const typename Units::B row = Units::broadcast(a + r * a_stride + u);
      for (int j = 0; j < kVectors; ++j) sum[r][j] = Units::multiply_add(sum[r][j], row, column[j]);
    }
    b += b_stride;
  }
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVectors; ++j) Units::store_sum(c + r * c_stride + j * V::kWidth, sum[r][j]);
}

// Computes kRows rows of any number of columns that is a multiple of the vector width. kAhead counts cache
// lines of a row of b.
template <class V, class Units, int kRows, int kAhead>
inline void row_strip(typename Units::Element* c, int64_t c_stride, const typename Units::Unit* a,
                      int64_t a_stride, const typename Units::Unit* b, int64_t b_stride, int64_t units,
                      int64_t columns, bool add, const typename Units::Unit* ahead) {
  constexpr int kVectors = kRows == 1 ? V::kRowVectors : V::kVectors;
  int64_t j = 0;
  if constexpr (kAhead > 0) {  // the first tile prefetches for all
    if (columns >= kVectors * V::kWidth) {
      register_tile<V, Units, kRows, kVectors, kAhead>(c, c_stride, a, a_stride, b, b_stride, units, add,
                                                       ahead);
      j = kVectors * V::kWidth;
    }
  }
  for (; j + kVectors * V::kWidth <= columns; j += kVectors * V::kWidth)
    register_tile<V, Units, kRows, kVectors>(c + j, c_stride, a, a_stride, b + j, b_stride, units, add);
  for (; j < columns; j += V::kWidth)
    register_tile<V, Units, kRows, 1>(c + j, c_stride, a, a_stride, b + j, b_stride, units, add);
}

// Computes up to Units::kRows rows.
template <class V, class Units, int kAhead = 0, int kRows = Units::kRows>
inline void strip(int64_t rows, typename Units::Element* c, int64_t c_stride, const typename Units::Unit* a,
                  int64_t a_stride, const typename Units::Unit* b, int64_t b_stride, int64_t units,
                  int64_t columns, bool add, const typename Units::Unit* ahead = nullptr) {
  if (rows == kRows) {
    row_strip<V, Units, kRows, kAhead>(c, c_stride, a, a_stride, b, b_stride, units, columns, add, ahead);
  } else if constexpr (kRows > 1) {
    strip<V, Units, kAhead, kRows - 1>(rows, c, c_stride, a, a_stride, b, b_stride, units, columns, add,
                                       ahead);
  }
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Returns the rows of the next strip when `left` remain: strips have nearly equal height.
inline int64_t strip_rows(int64_t left, int64_t most) {
  const int64_t strips = (left + most - 1) / most;
  return (left + strips - 1) / strips;
}

}  // namespace
}  // namespace uhd::cpu
