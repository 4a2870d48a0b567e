// Computes attention on tensor cores: one warp takes 16 query rows over a tile of keys and values in shared
// memory, with a running softmax in registers (Dao 2023, "FlashAttention-2", algorithm 1). Products are bf16,
// sums f32.
//
// D is the head size rounded up to one that is instantiated; the real one is d, a multiple of 8. Columns from
// d on are zero in registers and in shared memory.
#pragma once

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"
// This comes after device.cuh, which says how a function is marked for devices.
#include "kernels/cuda/attention_plan.h"

namespace uhd::cuda {

constexpr int kTileWarps = 4;
constexpr int kTileThreads = kTileWarps * kWarp;
constexpr int kWarpRows = 16;
constexpr float kLog2e = 1.44269504f;
constexpr float kNoScore = -__builtin_inff();

template <int D>
constexpr int kTileStride = tile_stride(D);
template <int D>
constexpr int kTileElements = kTileKeys* kTileStride<D>;
template <int D>
constexpr size_t kTileBytes = tile_bytes(D);

// Lane 4 g + t holds rows g and g + 8: index 0 and 1 of everything that is kept per row.
template <int D>
struct QueryRows {
  uint32_t q[D / 16][4];
  float sums[D / 8][4];
  float maxima[2];  // the largest scores, before scaling
  float totals[2];  // this lane's part until finish()
};

// A KeyPlace says where a key and its value start, in elements.
struct KeyPlace {
  int64_t k;
  int64_t v;
};

// Loads the rows. Rows that do not exist are null and hold zeros.
template <int D>
__device__ void start(QueryRows<D>& r, const Bf16* const (&rows)[2], int d) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int kk = 0; kk < D / 16; ++kk) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = kk * 16 + i / 2 * 8 + 2 * t;
      const Bf16* row = rows[i % 2];
      r.q[kk][i] = row != nullptr && column < d ? load_aligned<uint32_t>(row + column) : 0u;
    }
  }
#pragma unroll
  for (int n = 0; n < D / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) r.sums[n][i] = 0.0f;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    r.maxima[i] = kNoScore;
    r.totals[i] = 0.0f;
  }
}

// Starts the copies of one tile; all threads of the block call it. Keys of the tile from `keys` on are zero,
// because the memory behind a segment's end must not meet a product. at(j) is the place of key j.
template <int D, class At>
__device__ void copy_tile(Bf16* k_tile, Bf16* v_tile, const Bf16* k, const Bf16* v, int keys, int d,
                          const At& at) {
  constexpr int kUnits = D / 8;
#pragma unroll 2
  for (int i = threadIdx.x; i < kTileKeys * kUnits; i += kTileThreads) {
    const int j = i / kUnits, column = i % kUnits * 8;
    const bool there = j < keys && column < d;
    const KeyPlace place = there ? at(j) : KeyPlace{-column, -column};
    const int to = j * kTileStride<D> + column;
    copy_async_16(k_tile + to, k + place.k + column, there ? 16 : 0);
    copy_async_16(v_tile + to, v + place.v + column, there ? 16 : 0);
  }
}

__device__ inline uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

// Computes score [16, Keys] = q · kᵀ.
template <int D, int Keys>
__device__ void score_keys(float (&score)[Keys / 8][4], const QueryRows<D>& r, const Bf16* k) {
  const int lane = threadIdx.x % kWarp;
  // One load brings keys 0-7 and 8-15, of each columns 0-7 and 8-15: the operands of two products.
  const Bf16* row = k + (lane / 16 * 8 + lane % 8) * kTileStride<D> + lane / 8 % 2 * 8;
#pragma unroll
  for (int n = 0; n < Keys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = 0.0f;
#pragma unroll
  for (int kk = 0; kk < D / 16; ++kk) {
#pragma unroll
    for (int n = 0; n < Keys / 16; ++n) {
      uint32_t b[4];
      load_matrix_x4(b, row + n * 16 * kTileStride<D> + kk * 16);
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
      mma_m16n8k16(score[2 * n], r.q[kk], first);
      mma_m16n8k16(score[2 * n + 1], r.q[kk], second);
    }
  }
}

// Computes sums [16, D] += p [16, Keys] · v.
template <int D, int Keys>
__device__ void add_values(QueryRows<D>& r, const float (&p)[Keys / 8][4], const Bf16* v) {
  const int lane = threadIdx.x % kWarp;
  const Bf16* row = v + (lane / 8 % 2 * 8 + lane % 8) * kTileStride<D> + lane / 16 * 8;
#pragma unroll
  for (int j = 0; j < Keys / 16; ++j) {
    // The sums of a product are laid out as the left operand of the next.
    const uint32_t a[4] = {bf16_pair(p[2 * j][0], p[2 * j][1]), bf16_pair(p[2 * j][2], p[2 * j][3]),
                           bf16_pair(p[2 * j + 1][0], p[2 * j + 1][1]),
                           bf16_pair(p[2 * j + 1][2], p[2 * j + 1][3])};
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      uint32_t b[4];
      load_matrix_x4_transposed(b, row + j * 16 * kTileStride<D> + n * 16);
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
      mma_m16n8k16(r.sums[2 * n], a, first);
      mma_m16n8k16(r.sums[2 * n + 1], a, second);
    }
  }
}

// One warp attends its rows over `Keys` keys of a tile whose copies have arrived. A row sees keys below its
// limit. scale_log2 > 0: scores are multiplied by it and are then exponents of 2.
template <int D, int Keys>
__device__ void attend(QueryRows<D>& r, const Bf16* k, const Bf16* v, const int (&limit)[2],
                       float scale_log2) {
  float score[Keys / 8][4];
  score_keys<D, Keys>(score, r, k);
  const int t = threadIdx.x % 4;
  if (limit[0] < Keys || limit[1] < Keys) {
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (n * 8 + 2 * t + i % 2 >= limit[i / 2]) score[n][i] = kNoScore;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float top = r.maxima[i];
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) top = fmaxf(top, fmaxf(score[n][2 * i], score[n][2 * i + 1]));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    const float base = top == kNoScore ? 0.0f : top * scale_log2;
    const float shrink = fast_exp2(r.maxima[i] * scale_log2 - base);
    r.maxima[i] = top;
    float total = r.totals[i] * shrink;
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int c = 2 * i; c < 2 * i + 2; ++c) {
        score[n][c] = fast_exp2(fmaf(score[n][c], scale_log2, -base));
        total += score[n][c];
      }
    }
    r.totals[i] = total;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      r.sums[n][2 * i] *= shrink;
      r.sums[n][2 * i + 1] *= shrink;
    }
  }
  add_values<D, Keys>(r, score, v);
}

// Adds up the totals of each row's four lanes.
template <int D>
__device__ void finish(QueryRows<D>& r) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    r.totals[i] += __shfl_xor_sync(kAllLanes, r.totals[i], 1);
    r.totals[i] += __shfl_xor_sync(kAllLanes, r.totals[i], 2);
  }
}

// Stores the rows after finish(), divided by their totals; a row that saw no key is zero. Null rows are not
// written.
template <int D>
__device__ void store(const QueryRows<D>& r, Bf16* const (&rows)[2], int d) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (rows[i] == nullptr) continue;
    const float share = r.totals[i] == 0.0f ? 0.0f : 1.0f / r.totals[i];
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      if (n * 8 < d)
        store_aligned(rows[i] + n * 8 + 2 * t,
                      bf16_pair(r.sums[n][2 * i] * share, r.sums[n][2 * i + 1] * share));
  }
}

// Loops over tiles: while one tile is attended, the next is copied. copy(tile, k, v) starts the copies of a
// tile, use(tile, k, v) reads it; all threads of the block call both.
template <int D, class Copy, class Use>
__device__ void for_tiles(int tiles, const Copy& copy, const Use& use) {
  Bf16* shared = dynamic_shared<Bf16>();
  const auto k_of = [&](int tile) { return shared + tile % 2 * 2 * kTileElements<D>; };
  if (tiles > 0) copy(0, k_of(0), k_of(0) + kTileElements<D>);
  commit_copies();
  for (int tile = 0; tile < tiles; ++tile) {
    wait_copies<0>();
    __syncthreads();  // this tile is there for all threads, and none still reads the one before it
    if (tile + 1 < tiles) copy(tile + 1, k_of(tile + 1), k_of(tile + 1) + kTileElements<D>);
    commit_copies();
    use(tile, k_of(tile), k_of(tile) + kTileElements<D>);
  }
  wait_copies<0>();
}

// Calls body(integral_constant<int, D>) for the smallest instantiated D >= d.
template <class Body>
void with_tile_head(int64_t d, const Body& body) {
  if (d <= 32)
    body(std::integral_constant<int, 32>());
  else if (d <= 64)
    body(std::integral_constant<int, 64>());
  else if (d <= 80)
    body(std::integral_constant<int, 80>());
  else if (d <= 96)
    body(std::integral_constant<int, 96>());
  else
    body(std::integral_constant<int, kLargestTileHead>());
}

}  // namespace uhd::cuda
