#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

// One token's heads, each D wide, turned in place by pairs (i, i + D/2):
//   (a, b) -> (a cos − b sin, b cos + a sin).
template <class T, int N>
__device__ void turn_heads(T* row, int heads, int half, const float* cosines, const float* sines) {
  const int per_head = half / N;
  for (int at = threadIdx.x; at < heads * per_head; at += blockDim.x) {
    const int i = at % per_head * N;
    T* head = row + static_cast<int64_t>(at / per_head) * 2 * half;
    float a[N], b[N], c[N], s[N];
    load_floats(a, head + i);
    load_floats(b, head + half + i);
    load_floats(c, cosines + i);
    load_floats(s, sines + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float turned = a[j] * c[j] - b[j] * s[j];
      b[j] = b[j] * c[j] + a[j] * s[j];
      a[j] = turned;
    }
    store_floats(head + i, a);
    store_floats(head + half + i, b);
  }
}

// One block a token: its query heads, then its key heads. table [positions, 2, half].
template <class T, int N>
__global__ void rope_rows(RowsOf<T> q, RowsOf<T> k, const int* __restrict__ positions,
                          const float* __restrict__ table, int q_heads, int k_heads, int half,
                          int table_rows) {
  const int position = positions[blockIdx.x];
  device_check(position >= 0 && position < table_rows);
  const float* cosines = table + static_cast<int64_t>(position) * 2 * half;
  turn_heads<T, N>(q[blockIdx.x], q_heads, half, cosines, cosines + half);
  turn_heads<T, N>(k[blockIdx.x], k_heads, half, cosines, cosines + half);
}

}  // namespace

void queue(cudaStream_t stream, const ops::Rope& op) {
  if (op.q.elements() == 0) return;
  const int q_heads = static_cast<int>(op.q.dim(1)), k_heads = static_cast<int>(op.k.dim(1));
  const int half = static_cast<int>(op.q.dim(2) / 2);
  const auto run = [&]<class T, int N>() {
    launch(rope_rows<T, N>, blocks(op.q.rows(), 1), row_threads(int64_t{q_heads} * half / N), 0, stream,
           rows_of<T>(op.q), rows_of<T>(op.k), op.positions.data<int32_t>(), op.table.data<float>(), q_heads,
           k_heads, half, static_cast<int>(op.table.rows()));
  };
  // The two halves of a head and the rows of the table are aligned when half a head is.
  with_width(half, run, op.q, op.k, op.table);
}

}  // namespace uhd::cuda
