#include "kernels/cuda/epilogue.h"

#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

template <Epilogue E>
__device__ float apply(float x) {
  if constexpr (E == Epilogue::gelu) return gelu(x);
  if constexpr (E == Epilogue::gelu_tanh) return gelu_tanh(x);
  if constexpr (E == Epilogue::quick_gelu) return quick_gelu(x);
  return x;
}

// Blocks of threads along a row, one row a block in y; N elements a thread.
template <Epilogue E, class Out, class In, int N>
__global__ void epilogue_rows(RowsOf<Out> out_rows, RowsOf<const In> x_rows, int columns) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * N;
  if (i >= columns) return;
  Out* out = out_rows[blockIdx.y] + i;
  float v[N], before[N];
  load_floats(v, x_rows[blockIdx.y] + i);
  if constexpr (E == Epilogue::add) load_floats(before, out);
#pragma unroll
  for (int j = 0; j < N; ++j) v[j] = E == Epilogue::add ? before[j] + v[j] : apply<E>(v[j]);
  store_floats(out, v);
}

template <Epilogue E, class Out, class In>
void run(cudaStream_t stream, Tensor out, Tensor x) {
  constexpr int kEach = kWide < Out >> kWide<In> ? kWide<Out> : kWide<In>;
  constexpr int kMostRows = 65535;  // of a grid's y
  const int64_t columns = out.dim(1);
  const bool wide = columns % kEach == 0 && aligned_rows(out, x);
  const int64_t accesses = wide ? columns / kEach : columns;
  const unsigned threads = row_threads(accesses);
  for (int64_t first = 0; first < out.rows(); first += kMostRows) {
    const int64_t rows = std::min<int64_t>(kMostRows, out.rows() - first);
    const auto to = rows_of<Out>(out.slice_rows(first, rows));
    const auto from = rows_of<const In>(x.slice_rows(first, rows));
    const dim3 grid(blocks(accesses, threads), static_cast<unsigned>(rows));
    if (wide) {
      launch(epilogue_rows<E, Out, In, kEach>, grid, threads, 0, stream, to, from, static_cast<int>(columns));
    } else {
      launch(epilogue_rows<E, Out, In, 1>, grid, threads, 0, stream, to, from, static_cast<int>(columns));
    }
  }
}

template <Epilogue E>
void run_typed(cudaStream_t stream, Tensor out, Tensor x) {
  with_activation(out.dtype(), [&]<class Out>() {
    with_activation(x.dtype(), [&]<class In>() { run<E, Out, In>(stream, out, x); });
  });
}

}  // namespace

void apply_epilogue(cudaStream_t stream, Tensor out, Tensor x, Epilogue epilogue) {
  if (out.elements() == 0) return;
  switch (epilogue) {
    case Epilogue::gelu:
      return run_typed<Epilogue::gelu>(stream, out, x);
    case Epilogue::gelu_tanh:
      return run_typed<Epilogue::gelu_tanh>(stream, out, x);
    case Epilogue::quick_gelu:
      return run_typed<Epilogue::quick_gelu>(stream, out, x);
    case Epilogue::add:
      return run_typed<Epilogue::add>(stream, out, x);
    case Epilogue::none:
      return run_typed<Epilogue::none>(stream, out, x);
  }
}

}  // namespace uhd::cuda
