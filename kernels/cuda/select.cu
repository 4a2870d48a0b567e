#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

constexpr int kThreads = 512;

struct Best {
  float value;
  int id;
};

// The larger value; of equal ones the smaller id. NaN is never larger.
__device__ Best better(Best a, Best b) {
  return b.value > a.value || (b.value == a.value && b.id < a.id) ? b : a;
}

__device__ Best warp_best(Best best) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const Best other{__shfl_xor_sync(kAllLanes, best.value, step), __shfl_xor_sync(kAllLanes, best.id, step)};
    best = better(best, other);
  }
  return best;
}

// One block finds the first largest logit of one row.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    argmax_rows(int* __restrict__ ids, float* __restrict__ values, RowsOf<const T> logits, int columns) {
  struct Partial;
  Best* partial = block_array<Best, kWarp, Partial>();
  const T* row = logits[blockIdx.x];
  Best best{-INFINITY, columns};
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float v[N];
    load_floats(v, row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) best = better(best, {v[j], i + j});
  }
  best = warp_best(best);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  if (lane == 0) partial[warp] = best;
  __syncthreads();
  if (warp != 0) return;
  best = warp_best(lane < warps ? partial[lane] : Best{-INFINITY, columns});
  if (lane != 0) return;
  ids[blockIdx.x] = best.id < columns ? best.id : 0;
  values[blockIdx.x] = best.value;
}

constexpr int kFewThreads = 128;

// One thread takes, for one row, the best of the shards' choices, or -1.
__global__ void best_rows(int* __restrict__ ids, const int* __restrict__ part_ids,
                          const float* __restrict__ values, int shards, int rows, int64_t width,
                          int64_t vocabulary) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  float best = -INFINITY;
  int64_t chosen = -1;
  for (int r = 0; r < shards; ++r) {
    const int64_t id = part_ids[r * rows + row] + r * width;
    const float value = values[r * rows + row];
    if (id >= vocabulary || !(value > best)) continue;
    best = value;
    chosen = id;
  }
  ids[row] = fabsf(best) < INFINITY ? static_cast<int>(chosen) : -1;
}

// One thread takes one logit; `blocks_a_row` blocks take a row.
__global__ void mask_rows(RowsOf<float> logits, const int* __restrict__ rows, const int* __restrict__ masks,
                          int words, int64_t first_id, int columns, int logit_rows, int blocks_a_row) {
  const int i = blockIdx.x / blocks_a_row;
  const int column = (blockIdx.x % blocks_a_row) * blockDim.x + threadIdx.x;
  device_check(rows[i] >= 0 && rows[i] < logit_rows);
  if (column >= columns) return;
  const int64_t id = first_id + column, word = id / 32;
  const bool may =
      word < words && (static_cast<uint32_t>(masks[int64_t{i} * words + word]) >> (id % 32) & 1) != 0;
  if (!may) logits[rows[i]][column] = -INFINITY;
}

// One thread takes one token.
__global__ void take_ids(int* __restrict__ ids, const int* __restrict__ drawn, const int* __restrict__ at,
                         int tokens, int drawn_rows) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= tokens || at[t] == -1) return;
  device_check(at[t] >= 0 && at[t] < drawn_rows);
  ids[t] = drawn[at[t]];
}

}  // namespace

void queue(cudaStream_t stream, const ops::BestOfShards& op) {
  if (op.ids.rows() == 0) return;
  launch(best_rows, blocks(op.ids.rows(), kFewThreads), kFewThreads, 0, stream, op.ids.data<int32_t>(),
         op.part_ids.data<int32_t>(), op.values.data<float>(), static_cast<int>(op.part_ids.rows()),
         static_cast<int>(op.ids.rows()), op.width, op.vocabulary);
}

void queue(cudaStream_t stream, const ops::MaskLogits& op) {
  if (op.rows.rows() == 0 || op.logits.dim(1) == 0) return;
  const auto columns = static_cast<int>(op.logits.dim(1));
  const int blocks_a_row = (columns + kThreads - 1) / kThreads;
  launch(mask_rows, blocks(op.rows.rows() * blocks_a_row, 1), kThreads, 0, stream, rows_of<float>(op.logits),
         op.rows.data<int32_t>(), op.masks.data<int32_t>(), static_cast<int>(op.masks.dim(1)), op.first_id,
         columns, static_cast<int>(op.logits.rows()), blocks_a_row);
}

void queue(cudaStream_t stream, const ops::TakeDrawn& op) {
  if (op.ids.rows() == 0) return;
  launch(take_ids, blocks(op.ids.rows(), kFewThreads), kFewThreads, 0, stream, op.ids.data<int32_t>(),
         op.drawn.data<int32_t>(), op.at.data<int32_t>(), static_cast<int>(op.ids.rows()),
         static_cast<int>(op.drawn.rows()));
}

void queue(cudaStream_t stream, const ops::Argmax& op) {
  if (op.logits.rows() == 0) return;
  const int columns = static_cast<int>(op.logits.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(argmax_rows<T, N>, blocks(op.logits.rows(), 1), kThreads, 0, stream, op.ids.data<int32_t>(),
           op.values.data<float>(), rows_of<const T>(op.logits), columns);
  };
  with_width(columns, run, op.logits);
}

}  // namespace uhd::cuda
