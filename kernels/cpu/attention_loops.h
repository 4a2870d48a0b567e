// Runs one softmax block of attention, over the vector type V of the including file; it is internal to that
// file.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector_functions.h"

namespace uhd::cpu {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

// Turns row r of scores into e^(score − maximum), zero from `limit` on, and rescales the running sums.
template <class V>
void softmax_row(const AttentionState& s, int64_t r, float* scores, int64_t limit, int64_t padded,
                 int64_t v_stride) {
  using F = typename V::F;
  if (limit <= 0) {  // the block holds no key for this row
    for (int64_t j = 0; j < padded; ++j) scores[j] = 0.0f;
    return;
  }
  for (int64_t j = limit; j < padded; ++j) scores[j] = kMinusInfinity;
  F top = V::all(kMinusInfinity);
  for (int64_t j = 0; j < padded; j += V::kWidth) top = V::max(V::load(scores + j), top);
  const float block = V::largest(top) * s.scale;
  const float before = s.maxima[r];
  const float now = block > before ? block : before;
  if (now != before) {
    const F shrink = exp<V>(V::all(before - now));
    float* sums = s.sums + r * v_stride;
    for (int64_t j = 0; j < v_stride; j += V::kWidth) V::store(sums + j, V::load(sums + j) * shrink);
    float first[V::kWidth];
    V::store(first, shrink);
    s.totals[r] *= first[0];
    s.maxima[r] = now;
  }
  const F scale = V::all(s.scale);
  const F shift = V::all(-now);
  F total = V::all(0.0f);
  for (int64_t j = 0; j < padded; j += V::kWidth) {
    const F e = exp<V>(V::fma(V::load(scores + j), scale, shift));
    V::store(scores + j, e);
    total = total + e;
  }
  s.totals[r] += V::sum(total);
}

// These turn probabilities into operand A.
template <class V>
const float* as_units(float* scores, uint32_t*, int64_t, F32Units<V>) {
  return scores;
}
template <class V>
const uint32_t* as_units(float* scores, uint32_t* units, int64_t n, Bf16Units<V>) {
  uint16_t* out = reinterpret_cast<uint16_t*>(units);
  for (int64_t j = 0; j < n; j += V::kWidth) V::store_bf16(out + j, V::load(scores + j));
  return units;
}

// Computes s += softmax(q · k) · v over one block, for up to Units::kRows rows from `first`.
template <class V, class Units>
void attend_strip(const AttentionState& s, int64_t first, int64_t rows, const KeyBlock& block) {
  using Unit = typename Units::Unit;
  alignas(64) float scores[Units::kRows][kBlockKeys];
  alignas(64) uint32_t packed[Units::kRows][kBlockKeys / 2];
  const int64_t padded = (block.keys + 15) / 16 * 16;
  const Unit* q = static_cast<const Unit*>(s.q) + first * s.q_stride;
  for (int64_t j = 0, piece = 0; j < padded; j += block.width, ++piece)
    strip<V, Units>(rows, scores[0] + j, kBlockKeys, q, s.q_stride, static_cast<const Unit*>(block.k[piece]),
                    block.width, s.q_units, smaller(block.width, padded - j), false);
  const Unit* p = nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t limit = smaller(block.keys, s.limit[first + r] - block.first_key);
    softmax_row<V>(s, first + r, scores[r], limit, padded, block.v_stride);
    const Unit* row = as_units(scores[r], packed[r], padded, Units());
    if (r == 0) p = row;
  }
  const int64_t p_stride = kBlockKeys / Units::kPerUnit;
  float* sums = s.sums + first * block.v_stride;
  for (int64_t j = 0, piece = 0; j < block.keys; j += block.width, ++piece) {
    int64_t units = (smaller(block.width, block.keys - j) + Units::kPerUnit - 1) / Units::kPerUnit;
    const bool odd = block.v_last != nullptr && j + block.width >= block.keys;
    if (odd) --units;
    strip<V, Units>(rows, sums, block.v_stride, p + j / Units::kPerUnit, p_stride,
                    static_cast<const Unit*>(block.v[piece]), block.v_stride, units, block.v_stride, true);
    if (odd)
      strip<V, Units>(rows, sums, block.v_stride, p + j / Units::kPerUnit + units, p_stride,
                      static_cast<const Unit*>(block.v_last), block.v_stride, 1, block.v_stride, true);
  }
}

template <class V, class Units>
void attend(const AttentionState& s, const KeyBlock& block) {
  for (int64_t row = 0; row < s.rows;) {
    const int64_t rows = strip_rows(s.rows - row, Units::kRows);
    attend_strip<V, Units>(s, row, rows, block);
    row += rows;
  }
}

}  // namespace
}  // namespace uhd::cpu
