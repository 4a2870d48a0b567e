// Runs attention of ragged segments over their own keys, for the vision tower and the resamplers.
#include "kernels/cuda/attention_row.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {
namespace {

template <class T>
struct PackedArguments {
  T* out;
  const T* q;
  const T* k;
  const T* v;
  int64_t out_stride, q_stride, k_stride, v_stride;  // elements between rows
  const int32_t* q_offsets;
  const int32_t* kv_offsets;
  int segments;
  int rows;  // of q
  int keys;  // rows of k
  int heads;
  int d;
  float scale;
};

// The keys of segment s.
template <class T>
__device__ int segment_keys(const PackedArguments<T>& a, int s) {
  const int first = a.kv_offsets[s], end = a.kv_offsets[s + 1];
  device_check(0 <= first && first <= end && end <= a.keys);
  return end - first;
}

// One warp computes one row and head.
template <class T>
__global__ void __launch_bounds__(kRowWarps* kWarp, 1) packed_rows(PackedArguments<T> a) {
  const int64_t task = int64_t{blockIdx.x} * kRowWarps + threadIdx.x / kWarp;
  const int row = static_cast<int>(task / a.heads);
  const int column = static_cast<int>(task % a.heads) * a.d;
  if (row >= a.rows) return;
  const int s = segment_of(a.q_offsets, a.segments, row);
  if (s < 0) return;
  const T* k = a.k + a.kv_offsets[s] * a.k_stride + column;
  const T* v = a.v + a.kv_offsets[s] * a.v_stride + column;
  attend_row<T, T>(
      a.out + row * a.out_stride + column, a.q + row * a.q_stride + column, segment_keys(a, s), a.d, a.scale,
      [&](int j) { return k + j * a.k_stride; }, [&](int j) { return v + j * a.v_stride; });
}

// One block per 64 query rows of one segment and head: grid (segments x row tiles, heads).
template <int D>
__global__ void __launch_bounds__(kTileThreads, 2) packed_tiles(PackedArguments<Bf16> a, int row_tiles) {
  const int s = blockIdx.x / row_tiles;
  const int first = a.q_offsets[s], end = a.q_offsets[s + 1];
  device_check(0 <= first && first <= end && end <= a.rows &&
               end - first <= row_tiles * kTileWarps * kWarpRows);
  const int tile_row = first + static_cast<int>(blockIdx.x % row_tiles) * kTileWarps * kWarpRows;
  if (tile_row >= end) return;
  const int keys = segment_keys(a, s);
  const int column = blockIdx.y * a.d;
  const Bf16* k = a.k + a.kv_offsets[s] * a.k_stride + column;
  const Bf16* v = a.v + a.kv_offsets[s] * a.v_stride + column;

  const int warp_row = tile_row + static_cast<int>(threadIdx.x / kWarp) * kWarpRows;
  const int own = warp_row + static_cast<int>(threadIdx.x % kWarp / 4);
  const bool mine[2] = {own < end, own + 8 < end};
  const Bf16* q = a.q + own * a.q_stride + column;
  const Bf16* const queries[2] = {mine[0] ? q : nullptr, mine[1] ? q + 8 * a.q_stride : nullptr};
  QueryRows<D> rows;
  start(rows, queries, a.d);
  const float scale_log2 = a.scale * kLog2e;
  for_tiles<D>((keys + kTileKeys - 1) / kTileKeys,
               [&](int tile, Bf16* k_tile, Bf16* v_tile) {
                 const int at = tile * kTileKeys;
                 copy_tile<D>(k_tile, v_tile, k, v, keys - at, a.d, [&](int j) {
                   return KeyPlace{(at + j) * a.k_stride, (at + j) * a.v_stride};
                 });
               },
               [&](int tile, const Bf16* k_tile, const Bf16* v_tile) {
                 if (warp_row >= end) return;  // the whole warp
                 const int left = keys - tile * kTileKeys;
                 const int limit[2] = {left, left};
                 attend<D, kTileKeys>(rows, k_tile, v_tile, limit, scale_log2);
               });
  if (warp_row >= end) return;
  finish(rows);
  Bf16* out = a.out + own * a.out_stride + column;
  Bf16* const outs[2] = {mine[0] ? out : nullptr, mine[1] ? out + 8 * a.out_stride : nullptr};
  store(rows, outs, a.d);
}

template <class T>
PackedArguments<T> arguments(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets,
                             float scale) {
  return {.out = static_cast<T*>(out.raw()),
          .q = static_cast<const T*>(q.raw()),
          .k = static_cast<const T*>(k.raw()),
          .v = static_cast<const T*>(v.raw()),
          .out_stride = out.row_stride(),
          .q_stride = q.row_stride(),
          .k_stride = k.row_stride(),
          .v_stride = v.row_stride(),
          .q_offsets = q_offsets.data<int32_t>(),
          .kv_offsets = kv_offsets.data<int32_t>(),
          .segments = static_cast<int>(q_offsets.dim(0) - 1),
          .rows = static_cast<int>(q.rows()),
          .keys = static_cast<int>(k.rows()),
          .heads = static_cast<int>(q.dim(1)),
          .d = static_cast<int>(q.dim(2)),
          .scale = scale};
}

template <class T>
void launch_rows(cudaStream_t stream, const PackedArguments<T>& a) {
  const int64_t warps = int64_t{a.rows} * a.heads;
  launch(packed_rows<T>, dim3(static_cast<unsigned>((warps + kRowWarps - 1) / kRowWarps)),
         dim3(kRowWarps * kWarp), row_shared_bytes(a.d), stream, a);
}

}  // namespace

void packed_attention_rows(cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                           Tensor kv_offsets, float scale) {
  if (q.elements() == 0 || q_offsets.dim(0) < 2) return;
  if (q.dtype() == DType::f32)
    launch_rows(stream, arguments<float>(out, q, k, v, q_offsets, kv_offsets, scale));
  else
    launch_rows(stream, arguments<Bf16>(out, q, k, v, q_offsets, kv_offsets, scale));
}

void packed_attention_tiles(cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                            Tensor kv_offsets, int max_q, float scale) {
  if (q.elements() == 0 || q_offsets.dim(0) < 2 || max_q < 1) return;
  const auto a = arguments<Bf16>(out, q, k, v, q_offsets, kv_offsets, scale);
  constexpr int kRows = kTileWarps * kWarpRows;
  const int row_tiles = (max_q + kRows - 1) / kRows;
  with_tile_head(a.d, [&](auto head) {
    constexpr int kD = decltype(head)::value;
    launch(packed_tiles<kD>,
           dim3(static_cast<unsigned>(a.segments) * static_cast<unsigned>(row_tiles),
                static_cast<unsigned>(a.heads)),
           dim3(kTileThreads), kTileBytes<kD>, stream, a, row_tiles);
  });
}

}  // namespace uhd::cuda
