// Turns tensors into the arguments that kernels take: rows of one type, at most 16 bytes an access.
#pragma once

#include "kernels/cuda/vector.cuh"
#include "kernels/tensor.h"

namespace uhd::cuda {

// The rows lie `stride` elements apart.
template <class T>
struct RowsOf {
  T* data;
  int64_t stride;
  __device__ T* operator[](int64_t row) const { return data + row * stride; }
};

template <class T>
RowsOf<T> rows_of(const Tensor& t) {
  return {static_cast<T*>(t.raw()), t.row_stride()};
}

// Calls run.template operator()<T>() with the element type.
template <class Run>
void with_float_type(DType type, const Run& run) {
  switch (type) {
    case DType::f32:
      return run.template operator()<float>();
    case DType::bf16:
      return run.template operator()<Bf16>();
    case DType::f16:
      return run.template operator()<__half>();
    default:
      throw Error(message("a kernel for ", name_of(type), " is asked for"));
  }
}

// Does the same for activations.
template <class Run>
void with_activation(DType type, const Run& run) {
  if (type == DType::bf16) return run.template operator()<Bf16>();
  check(type == DType::f32, "activations are f32 or bf16, not ", name_of(type));
  run.template operator()<float>();
}

// Returns true if every row of every tensor starts at a multiple of 16 bytes.
template <class... Tensors>
bool aligned_rows(const Tensors&... tensors) {
  const auto aligned = [](const Tensor& t) {
    const auto start = reinterpret_cast<uintptr_t>(t.raw());
    const size_t stride = static_cast<size_t>(t.row_stride()) * size_of(t.dtype());
    return start % 16 == 0 && (t.rows() <= 1 || stride % 16 == 0);
  };
  return (aligned(tensors) && ...);
}

// Calls run.template operator()<T, N>() for activations of T, N elements an access: 16 bytes if the rows of
// `columns` elements allow it, else one element.
template <class Run, class... Tensors>
void with_width(int64_t columns, const Run& run, const Tensor& first, const Tensors&... others) {
  with_activation(first.dtype(), [&]<class T>() {
    if (columns % kWide<T> == 0 && aligned_rows(first, others...)) {
      run.template operator()<T, kWide<T>>();
    } else {
      run.template operator()<T, 1>();
    }
  });
}

inline unsigned blocks(int64_t count, int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

// Returns the threads for a row of `accesses` accesses: whole warps, at most 256.
inline unsigned row_threads(int64_t accesses) {
  return static_cast<unsigned>(accesses >= 256 ? 256 : (accesses + 31) / 32 * 32);
}

}  // namespace uhd::cuda
