// Runs one softmax block of attention by tiles, over the vector type V and the Tiles of the including file;
// it is internal to that file.
//
// Scores are sums over D by Tiles::dot_bf16, 32 elements at a time. The block's probabilities times its
// values are summed from zero, tile by tile of 32 keys inside each piece (a page), and then added to the
// running sums. Pages are operands as they lie; a tile that reaches beyond D, or beyond the keys in use, is
// copied and filled up with zeros, since old contents of a page must not enter a sum.
#pragma once

#include "kernels/cpu/attention_loops.h"
#include "kernels/cpu/code_loops.h"

namespace uhd::cpu {
namespace {

constexpr int kTileQueryRows = 32;  // two row tiles

struct TileAt {
  const void* data;
  int64_t stride;  // bytes from a row to the next
};

// Sums of up to two row tiles by two column tiles, in registers 0 to 3 row by row.
template <class A, class B>
void add_products(Tiles& tiles, int64_t count, bool two_rows, bool two_columns, const A& a, const B& b) {
  for (int64_t k = 0; k < count; ++k) {
    const TileAt a0 = a(0, k), b0 = b(0, k);
    tiles.load<4>(a0.data, a0.stride);
    tiles.load<5>(b0.data, b0.stride);
    tiles.dot_bf16<0, 4, 5>();
    if (two_rows) {
      const TileAt a1 = a(1, k);
      tiles.load<6>(a1.data, a1.stride);
      tiles.dot_bf16<2, 6, 5>();
    }
    if (!two_columns) continue;
    const TileAt b1 = b(1, k);
    tiles.load<7>(b1.data, b1.stride);
    tiles.dot_bf16<1, 4, 7>();
    if (two_rows) tiles.dot_bf16<3, 6, 7>();
  }
}

inline void clear_sums(Tiles& tiles) {
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
}

inline void store_sums(Tiles& tiles, float* to, int64_t stride, bool two_rows, bool two_columns) {
  tiles.store<0>(to, stride * 4);
  if (two_columns) tiles.store<1>(to + 16, stride * 4);
  if (two_rows) tiles.store<2>(to + 16 * stride, stride * 4);
  if (two_rows && two_columns) tiles.store<3>(to + 16 * stride + 16, stride * 4);
}

// Returns `rows` lines of 16 units as a whole tile: where they lie, else copied to `memory`. The last line
// is `last` instead, if that is not null.
inline TileAt whole_tile(const uint32_t* from, int64_t stride, int64_t rows, const uint32_t* last,
                         uint32_t* memory) {
  if (rows >= kTileLines && last == nullptr) return {from, stride * 4};
  for (int64_t r = 0; r < kTileLines; ++r) {
    const uint32_t* line = r + 1 == rows && last != nullptr ? last : from + r * stride;
    for (int64_t j = 0; j < kTileLine; ++j) memory[r * kTileLine + j] = r < rows ? line[j] : 0;
  }
  return {memory, kTileLine * 4};
}

// scores [rows, padded keys] = q · k, row by row kBlockKeys apart.
inline void score_tiles(Tiles& tiles, const AttentionState& s, const KeyBlock& block, int64_t padded,
                        float* scores) {
  alignas(64) uint32_t q[2 * 16 * kTileUnits];  // [row tiles][units / 16] tiles; D is 512 at most
  alignas(64) uint32_t copies[2][kTileUnits];
  const int64_t steps = (s.q_units + kTileLines - 1) / kTileLines;
  for (int64_t r = 0; r < s.rows; ++r) {
    const uint32_t* row = static_cast<const uint32_t*>(s.q) + r * s.q_stride;
    for (int64_t u = 0; u < steps * kTileLine; ++u)
      q[(r / 16 * steps + u / kTileLine) * kTileUnits + r % 16 * kTileLine + u % kTileLine] =
          u < s.q_units ? row[u] : 0;
  }
  for (int64_t j = 0; j < padded;) {
    const auto* keys = static_cast<const uint32_t*>(block.k[j / block.width]) + j % block.width;
    const bool two_columns = j % block.width + 32 <= block.width && j + 32 <= padded;
    clear_sums(tiles);
    add_products(
        tiles, steps, s.rows > 16, two_columns,
        [&](int64_t row_tile, int64_t k) {
          return TileAt{q + (row_tile * steps + k) * kTileUnits, kTileLine * 4};
        },
        [&](int64_t column_tile, int64_t k) {
          return whole_tile(keys + k * kTileLines * block.width + column_tile * kTileLine, block.width,
                            s.q_units - k * kTileLines, nullptr, copies[column_tile]);
        });
    store_sums(tiles, scores + j, kBlockKeys, s.rows > 16, two_columns);
    j += two_columns ? 32 : 16;
  }
}

// sums += p · v, where p is [rows] rows of units, p_stride apart.
template <class V>
void add_values(Tiles& tiles, const AttentionState& s, const KeyBlock& block, const uint32_t* p,
                int64_t p_stride) {
  alignas(64) uint32_t copies[2][kTileUnits];
  alignas(64) float products[kTileQueryRows * 32];
  for (int64_t column = 0; column < block.v_stride; column += 32) {
    const bool two_columns = column + 16 < block.v_stride;
    clear_sums(tiles);
    for (int64_t j = 0, piece = 0; j < block.keys; j += block.width, ++piece) {
      const int64_t units = (smaller(block.width, block.keys - j) + 1) / 2;
      const auto* values = static_cast<const uint32_t*>(block.v[piece]);
      const bool odd = block.v_last != nullptr && j + block.width >= block.keys;
      add_products(
          tiles, (units + kTileLines - 1) / kTileLines, s.rows > 16, two_columns,
          [&](int64_t row_tile, int64_t k) {
            return TileAt{p + row_tile * 16 * p_stride + j / 2 + k * kTileLines, p_stride * 4};
          },
          [&](int64_t column_tile, int64_t k) {
            const int64_t at = column + column_tile * kTileLine, rows = units - k * kTileLines;
            const uint32_t* last =
                odd && rows <= kTileLines ? static_cast<const uint32_t*>(block.v_last) + at : nullptr;
            return whole_tile(values + k * kTileLines * block.v_stride + at, block.v_stride, rows, last,
                              copies[column_tile]);
          });
    }
    store_sums(tiles, products, 32, s.rows > 16, two_columns);
    for (int64_t r = 0; r < s.rows; ++r) {
      float* to = s.sums + r * block.v_stride + column;
      for (int64_t i = 0; i < (two_columns ? 32 : 16); i += V::kWidth)
        V::store(to + i, V::load(to + i) + V::load(products + r * 32 + i));
    }
  }
}

// Computes s += softmax(q · k) · v over one block.
template <class V>
void attend_tiles(const AttentionState& s, const KeyBlock& block) {
  constexpr int64_t kUnits = kBlockKeys / 2 + kTileLine;  // not a power of two: rows lie in other cache sets
  alignas(64) float scores[kTileQueryRows * kBlockKeys];
  alignas(64) uint32_t p[kTileQueryRows * kUnits];
  Tiles tiles;
  const int64_t padded = (block.keys + 15) / 16 * 16;
  score_tiles(tiles, s, block, padded, scores);
  for (int64_t r = 0; r < s.rows; ++r) {
    float* row = scores + r * kBlockKeys;
    const int64_t limit = smaller(block.keys, s.limit[r] - block.first_key);
    softmax_row<V>(s, r, row, limit, padded, block.v_stride);
    as_units(row, p + r * kUnits, padded, Bf16Units<V>());
    for (int64_t u = padded / 2; u < kUnits; ++u) p[r * kUnits + u] = 0;
  }
  add_values<V>(tiles, s, block, p, kUnits);
}

}  // namespace
}  // namespace uhd::cpu
