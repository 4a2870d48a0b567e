// Runs one panel of a matmul by tiles, over the vector type V and the Tiles of the including file; it is
// internal to that file.
//
// A panel has two half panels of 32 columns, each [K/32][2 column tiles][16 pairs][16 columns] (for codes of
// codes [K/64], and quads), so that a tile is 1 KiB in one piece; x is [M/16][K/32][16 rows][16 pairs].
//
// A sum over K goes tile by tile in ascending order, each by Tiles::dot_bf16, whose order amx_twin.h defines;
// what lies beyond K is zero. So a row's result does not depend on the rows beside it, on blocks or on
// threads.
//
// A block of the half panel stays in the first-level cache while strips of 32 rows of x pass by it
// (load_once). The tiles of a finished strip are stored after those of the next have been loaded, into the
// registers that held operands, because a load right behind a store to an address with the same low 12 bits
// waits for it. Registers therefore change their roles from strip to strip.
#pragma once

#include "kernels/cpu/code_loops.h"
#include "kernels/cpu/matmul_loops.h"

namespace uhd::cpu {
namespace {

constexpr int64_t kHalfPanel = 32;
constexpr int64_t kStripRows = 32;
constexpr int64_t kStripSums = kStripRows * kHalfPanel;
constexpr int64_t kBlockTiles = 16;  // tiles along K in a block of 32 KiB
constexpr int64_t kCodeTiles = 8;    // tiles along K in a block that is made of codes

// Sums are the result as they are, or are multiplied by the columns' scales, or are integers of codes that
// take the row's scale as well.
enum class Sums { plain, scaled, of_codes };

template <Sums kSums>
struct Dot {
  using Element = float;
  template <int kC, int kA, int kB>
  static void dot(Tiles& tiles) {
    tiles.dot_bf16<kC, kA, kB>();
  }
};

template <>
struct Dot<Sums::of_codes> {
  using Element = uint32_t;
  template <int kC, int kA, int kB>
  static void dot(Tiles& tiles) {
    tiles.dot_int8<kC, kA, kB>();
  }
};

// One block of K for one strip of rows.
struct StripStep {
  void* sums;  // four tiles: of the first row tile, then of the second
  bool fresh;  // they begin at zero
  const uint32_t* x;
  int64_t x_stride;  // units to the second row tile
  bool two;          // there is a second one
  const uint32_t* block;
  int64_t tiles;
  const uint32_t* ahead;  // the next memory that is read, or null
  int64_t lines;          // lines of it to prefetch for each tile
  bool near;              // these lines go into the first-level cache
};

template <int kTile>
void begin_sums(Tiles& tiles, const StripStep& step) {
  if (step.fresh) {
    tiles.zero<kTile>();
    tiles.zero<kTile + 1>();
    tiles.zero<kTile + 2>();
    tiles.zero<kTile + 3>();
  } else {
    const auto* sums = static_cast<const uint32_t*>(step.sums);
    tiles.load<kTile>(sums, 64);
    tiles.load<kTile + 1>(sums + kTileUnits, 64);
    tiles.load<kTile + 2>(sums + 2 * kTileUnits, 64);
    tiles.load<kTile + 3>(sums + 3 * kTileUnits, 64);
  }
}

template <int kTile>
void end_sums(Tiles& tiles, void* to) {
  auto* sums = static_cast<uint32_t*>(to);
  tiles.store<kTile>(sums, 64);
  tiles.store<kTile + 1>(sums + kTileUnits, 64);
  tiles.store<kTile + 2>(sums + 2 * kTileUnits, 64);
  tiles.store<kTile + 3>(sums + 3 * kTileUnits, 64);
}

// Sums are in registers kC to kC + 3 and operands in the other four, which hold the sums of `before` (or
// null) until then.
template <class Products, int kC>
void run_step(Tiles& tiles, const StripStep& step, void* before) {
  constexpr int kX = 4 - kC;
  if (before == step.sums) {
    end_sums<kX>(tiles, before);
    before = nullptr;
  }
  begin_sums<kC>(tiles, step);
  if (before != nullptr) end_sums<kX>(tiles, before);
  const uint32_t* ahead = step.ahead;
  for (int64_t k = 0; k < step.tiles; ++k) {
    const uint32_t* x = step.x + k * kTileUnits;
    const uint32_t* b = step.block + k * 2 * kTileUnits;
    tiles.load_once<kX>(x, 64);
    tiles.load<kX + 1>(b, 64);
    Products::template dot<kC, kX, kX + 1>(tiles);
    if (step.two) {
      tiles.load_once<kX + 2>(x + step.x_stride, 64);
      Products::template dot<kC + 2, kX + 2, kX + 1>(tiles);
    }
    tiles.load<kX + 3>(b + kTileUnits, 64);
    Products::template dot<kC + 1, kX, kX + 3>(tiles);
    if (step.two) Products::template dot<kC + 3, kX + 2, kX + 3>(tiles);
    if (ahead == nullptr) continue;
    for (int64_t line = 0; line < step.lines; ++line, ahead += kLine) {
      if (step.near)
        __builtin_prefetch(ahead, 0, 3);
      else
        __builtin_prefetch(ahead, 0, 2);
    }
  }
}

// The weights of a half panel as they lie.
struct StoredTiles {
  static constexpr int64_t kMost = kBlockTiles;
  static const uint32_t* block(const PanelJob& job, int64_t half, int64_t first, int64_t, uint32_t*) {
    const int64_t all = job.units / kTileLines;
    return static_cast<const uint32_t*>(job.panel) + (half * all + first) * 2 * kTileUnits;
  }
};

// Weights that are codes become bfloat16 block by block.
template <class Codes>
struct ExpandedTiles {
  static constexpr int64_t kMost = kCodeTiles;
  static const uint32_t* block(const PanelJob& job, int64_t half, int64_t first, int64_t tiles,
                               uint32_t* memory) {
    Codes::expand_tiles(memory, job, half, first, tiles);
    return memory;
  }
};

// The 32 columns of one half of the panel. Scales are those of columns, if there are any.
inline PanelJob half_of(const PanelJob& job, int64_t half) {
  PanelJob one = job;
  one.out += half * kHalfPanel;
  one.columns = smaller(kHalfPanel, job.columns - half * kHalfPanel);
  if (one.bias != nullptr) one.bias += half * kHalfPanel;
  if (one.scales != nullptr) one.scales = static_cast<const float*>(one.scales) + half * kHalfPanel;
  return one;
}

template <class V, Sums kSums, class Weights>
void tile_panel(const PanelJob& job) {
  using Element = typename Dot<kSums>::Element;
  alignas(64) Element sums[(kPanelRows + kStripRows - 1) / kStripRows * kStripSums];
  alignas(64) uint32_t memory[Weights::kMost == kCodeTiles ? kCodeTiles * 2 * kTileUnits : 1];
  const int64_t all = job.units / kTileLines;
  const int64_t strips = (job.rows + kStripRows - 1) / kStripRows;
  // One strip alone reads each block once, so that blocks need not fit a cache.
  const int64_t most = strips == 1 && Weights::kMost == kBlockTiles ? all : Weights::kMost;
  const int64_t blocks = (all + most - 1) / most;
  Tiles tiles;
  for (int64_t half = 0; half * kHalfPanel < job.columns; ++half) {
    void* before = nullptr;
    int64_t turn = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = all * b / blocks, count = all * (b + 1) / blocks - first;
      const uint32_t* block = Weights::block(job, half, first, count, memory);
      const bool stored = block != memory;
      for (int64_t s = 0; s < strips; ++s, ++turn) {
        const int64_t ahead = strips == 1 ? 4 : count;  // tiles: 8 KiB where the block is read but once
        const int64_t lines = (2 * kTileUnits / kLine + strips - 1) / strips;
        const StripStep step{
            .sums = sums + s * kStripSums,
            .fresh = b == 0,
            .x = static_cast<const uint32_t*>(job.x) + s * 2 * job.x_stride + first * kTileUnits,
            .x_stride = job.x_stride,
            .two = job.rows - s * kStripRows > 16,
            .block = block,
            .tiles = count,
            .ahead = stored ? block + ahead * 2 * kTileUnits + s * count * lines * kLine : nullptr,
            .lines = lines,
            .near = strips == 1};
        if (turn % 2 == 0)
          run_step<Dot<kSums>, 0>(tiles, step, before);
        else
          run_step<Dot<kSums>, 4>(tiles, step, before);
        before = step.sums;
      }
    }
    if (turn % 2 == 1)
      end_sums<0>(tiles, before);
    else
      end_sums<4>(tiles, before);
    const PanelJob columns = half_of(job, half);
    for (int64_t r = 0; r < job.rows; ++r) {
      float* out = columns.out + r * job.out_stride;
      const Element* row = sums + r / 16 * 2 * kTileUnits + r % 16 * kTileLine;
      if constexpr (kSums == Sums::of_codes)
        finish_row<V>(out, code_sums<V>(columns, r, row, kTileUnits, 0),
                      columns);  // TDPBSSD: both are signed
      else if constexpr (kSums == Sums::scaled)
        finish_row<V>(out, ScaledSums<V>{{row, kTileUnits}, static_cast<const float*>(columns.scales)},
                      columns);
      else
        finish_row<V>(out, FloatSums<V>{row, kTileUnits}, columns);
    }
  }
}

}  // namespace
}  // namespace uhd::cpu
