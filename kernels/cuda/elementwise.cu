#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

constexpr int kThreads = 256;

// Returns element i of a grid whose x covers a row, N elements a thread, and whose y counts rows (a row may
// be more than one y, because y ends at 65535).
template <int N>
__device__ int column() {
  return static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) * N);
}

// x: columns, y: rows. out = silu(g) · u with gate_up = [g | u].
template <class T, int N>
__global__ void silu_mul_rows(RowsOf<T> out, RowsOf<const T> gate_up, int rows, int columns) {
  const int i = column<N>();
  if (i >= columns) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    float gate[N], up[N];
    load_floats(gate, gate_up[row] + i);
    load_floats(up, gate_up[row] + columns + i);
#pragma unroll
    for (int j = 0; j < N; ++j) gate[j] = silu(gate[j]) * up[j];
    store_floats(out[row] + i, gate);
  }
}

// x: columns, y: rows. out = a + b; b's stride is 0 when one row serves all.
template <class T, int N>
__global__ void add_matrices(RowsOf<T> out, RowsOf<const T> a, RowsOf<const T> b, int rows, int columns) {
  const int i = column<N>();
  if (i >= columns) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    float left[N], right[N];
    load_floats(left, a[row] + i);
    load_floats(right, b[row] + i);
#pragma unroll
    for (int j = 0; j < N; ++j) left[j] += right[j];
    store_floats(out[row] + i, left);
  }
}

// x: columns, y: rows. x[t] += added[index[t]].
template <class T, int N>
__global__ void add_indexed_rows(RowsOf<T> x, RowsOf<const T> added, const int* __restrict__ index, int rows,
                                 int added_rows, int columns) {
  const int i = column<N>();
  if (i >= columns) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    const int from = index[row];
    device_check(from >= 0 && from < added_rows);
    float own[N], other[N];
    load_floats(own, x[row] + i);
    load_floats(other, added[from] + i);
#pragma unroll
    for (int j = 0; j < N; ++j) own[j] += other[j];
    store_floats(x[row] + i, own);
  }
}

// x: columns, y: rows. out = x in another type, rounded to nearest even.
template <class To, class From, int N>
__global__ void cast_rows(RowsOf<To> out, RowsOf<const From> x, int rows, int columns) {
  const int i = column<N>();
  if (i >= columns) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    float v[N];
    load_floats(v, x[row] + i);
    store_floats(out[row] + i, v);
  }
}

dim3 row_grid(int64_t rows, int64_t accesses) {
  return dim3(blocks(accesses, kThreads), static_cast<unsigned>(rows < 65535 ? rows : 65535));
}
unsigned threads(int64_t accesses) { return row_threads(accesses < kThreads ? accesses : kThreads); }

}  // namespace

void queue(cudaStream_t stream, const ops::SiluMul& op) {
  if (op.out.elements() == 0) return;
  const int rows = static_cast<int>(op.out.rows()), columns = static_cast<int>(op.out.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(silu_mul_rows<T, N>, row_grid(rows, columns / N), threads(columns / N), 0, stream,
           rows_of<T>(op.out), rows_of<const T>(op.gate_up), rows, columns);
  };
  with_width(columns, run, op.out, op.gate_up);
}

void queue(cudaStream_t stream, const ops::Add& op) {
  if (op.out.elements() == 0) return;
  const int rows = static_cast<int>(op.out.rows()), columns = static_cast<int>(op.out.dim(1));
  const auto run = [&]<class T, int N>() {
    RowsOf<const T> right = rows_of<const T>(op.b);
    if (op.b.rows() == 1) right.stride = 0;
    launch(add_matrices<T, N>, row_grid(rows, columns / N), threads(columns / N), 0, stream,
           rows_of<T>(op.out), rows_of<const T>(op.a), right, rows, columns);
  };
  with_width(columns, run, op.out, op.a, op.b);
}

void queue(cudaStream_t stream, const ops::AddRows& op) {
  if (op.x.elements() == 0) return;
  const int count = static_cast<int>(op.x.rows()), columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(add_indexed_rows<T, N>, row_grid(count, columns / N), threads(columns / N), 0, stream,
           rows_of<T>(op.x), rows_of<const T>(op.rows), op.index.data<int32_t>(), count,
           static_cast<int>(op.rows.rows()), columns);
  };
  with_width(columns, run, op.x, op.rows);
}

void queue(cudaStream_t stream, const ops::Cast& op) {
  if (op.out.elements() == 0) return;
  const int rows = static_cast<int>(op.out.rows()), columns = static_cast<int>(op.out.row_size());
  with_float_type(op.out.dtype(), [&]<class To>() {
    with_float_type(op.x.dtype(), [&]<class From>() {
      const auto run = [&]<int N>() {
        launch(cast_rows<To, From, N>, row_grid(rows, columns / N), threads(columns / N), 0, stream,
               rows_of<To>(op.out), rows_of<const From>(op.x), rows, columns);
      };
      if (columns % 8 == 0 && aligned_rows(op.out, op.x)) {
        run.template operator()<8>();
      } else {
        run.template operator()<1>();
      }
    });
  });
}

}  // namespace uhd::cuda
