#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

// One block computes one row: out = x / sqrt(mean(x²) + eps) · w.
template <class T, int N>
__global__ void rms_norm_rows(RowsOf<T> out_rows, RowsOf<const T> x_rows, const float* __restrict__ w,
                              int columns, float eps) {
  const T* x = x_rows[blockIdx.x];
  T* out = out_rows[blockIdx.x];
  float squares = 0.0f, v[N], scale[N];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += v[j] * v[j];
  }
  const float inverse = reciprocal_sqrt(block_sum(squares) / columns + eps);
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, x + i);
    load_floats(scale, w + i);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] *= inverse * scale[j];
    store_floats(out + i, v);
  }
}

// One block a row: residual += x, rounded as it is stored; out = rms_norm(residual).
template <class T, int N>
__global__ void add_rms_norm_rows(RowsOf<T> residual_rows, RowsOf<const T> x_rows,
                                  const float* __restrict__ w, RowsOf<T> out_rows, int columns, float eps) {
  T* residual = residual_rows[blockIdx.x];
  const T* x = x_rows[blockIdx.x];
  T* out = out_rows[blockIdx.x];
  float squares = 0.0f, v[N], other[N];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, residual + i);
    load_floats(other, x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      v[j] = to_float(from_float<T>(v[j] + other[j]));
      squares += v[j] * v[j];
    }
    store_floats(residual + i, v);
  }
  const float inverse = reciprocal_sqrt(block_sum(squares) / columns + eps);
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, residual + i);  // this thread has stored them
    load_floats(other, w + i);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] *= inverse * other[j];
    store_floats(out + i, v);
  }
}

// One block computes one row: out = (x − mean) / sqrt(mean((x − mean)²) + eps) · w + b.
template <class T, int N>
__global__ void layer_norm_rows(RowsOf<T> out_rows, RowsOf<const T> x_rows, const float* __restrict__ w,
                                const float* __restrict__ b, int columns, float eps) {
  const T* x = x_rows[blockIdx.x];
  T* out = out_rows[blockIdx.x];
  float sum = 0.0f, v[N], scale[N], shift[N];
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += v[j];
  }
  const float mean = block_sum(sum) / columns;
  float squares = 0.0f;
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += (v[j] - mean) * (v[j] - mean);
  }
  const float inverse = reciprocal_sqrt(block_sum(squares) / columns + eps);
  for (int i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    load_floats(v, x + i);
    load_floats(scale, w + i);
    load_floats(shift, b + i);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] = (v[j] - mean) * inverse * scale[j] + shift[j];
    store_floats(out + i, v);
  }
}

constexpr int kHeadsOfBlock = 4;

// One warp computes one head of one token in place, query heads first: x = x / sqrt(mean(x²) + eps) · w.
template <class T, int N>
__global__ void head_norm_rows(RowsOf<T> q, RowsOf<T> k, const float* __restrict__ q_w,
                               const float* __restrict__ k_w, int64_t tokens, int q_heads, int k_heads,
                               int width, float eps) {
  const int64_t at = int64_t{blockIdx.x} * kHeadsOfBlock + threadIdx.x / kWarp;
  const int64_t token = at / (q_heads + k_heads);
  if (token >= tokens) return;  // a whole warp does
  const int head = static_cast<int>(at % (q_heads + k_heads));
  const bool is_query = head < q_heads;
  T* x = is_query ? q[token] + int64_t{head} * width : k[token] + int64_t{head - q_heads} * width;
  const float* w = is_query ? q_w : k_w;
  const int first = threadIdx.x % kWarp * N;
  float squares = 0.0f, v[N], scale[N];
  for (int i = first; i < width; i += kWarp * N) {
    load_floats(v, x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += v[j] * v[j];
  }
  const float inverse = reciprocal_sqrt(warp_sum(squares) / width + eps);
  for (int i = first; i < width; i += kWarp * N) {
    load_floats(v, x + i);
    load_floats(scale, w + i);
#pragma unroll
    for (int j = 0; j < N; ++j) v[j] *= inverse * scale[j];
    store_floats(x + i, v);
  }
}

}  // namespace

void queue(cudaStream_t stream, const ops::RmsNorm& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(rms_norm_rows<T, N>, blocks(op.x.rows(), 1), row_threads(columns / N), 0, stream,
           rows_of<T>(op.out), rows_of<const T>(op.x), op.w.data<float>(), columns, op.eps);
  };
  with_width(columns, run, op.out, op.x, op.w);
}

void queue(cudaStream_t stream, const ops::AddRmsNorm& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(add_rms_norm_rows<T, N>, blocks(op.x.rows(), 1), row_threads(columns / N), 0, stream,
           rows_of<T>(op.residual), rows_of<const T>(op.x), op.w.data<float>(), rows_of<T>(op.out), columns,
           op.eps);
  };
  with_width(columns, run, op.out, op.residual, op.x, op.w);
}

void queue(cudaStream_t stream, const ops::LayerNorm& op) {
  if (op.out.elements() == 0) return;
  const int columns = static_cast<int>(op.x.dim(1));
  const auto run = [&]<class T, int N>() {
    launch(layer_norm_rows<T, N>, blocks(op.x.rows(), 1), row_threads(columns / N), 0, stream,
           rows_of<T>(op.out), rows_of<const T>(op.x), op.w.data<float>(), op.b.data<float>(), columns,
           op.eps);
  };
  with_width(columns, run, op.out, op.x, op.w, op.b);
}

void queue(cudaStream_t stream, const ops::HeadNorm& op) {
  const int64_t heads = op.q.rows() * (op.q.dim(1) + op.k.dim(1));
  if (heads == 0) return;
  const int width = static_cast<int>(op.q.dim(2));
  const auto run = [&]<class T, int N>() {
    launch(head_norm_rows<T, N>, blocks(heads, kHeadsOfBlock), kHeadsOfBlock * kWarp, 0, stream,
           rows_of<T>(op.q), rows_of<T>(op.k), op.q_w.data<float>(), op.k_w.data<float>(), op.q.rows(),
           static_cast<int>(op.q.dim(1)), static_cast<int>(op.k.dim(1)), width, op.eps);
  };
  with_width(width, run, op.q, op.k, op.q_w, op.k_w);
}

}  // namespace uhd::cuda
