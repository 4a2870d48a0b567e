// One panel of a matmul, over the vector type V of the including file: internal to that file.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector_functions.h"

namespace uhd::cpu {
namespace {

template <class V>
typename V::F apply(Epilogue epilogue, typename V::F x) {
  switch (epilogue) {
    case Epilogue::gelu:
      return gelu<V>(x);
    case Epilogue::gelu_tanh:
      return gelu_tanh<V>(x);
    case Epilogue::quick_gelu:
      return quick_gelu<V>(x);
    default:
      return x;
  }
}

// One row of a finished tile to its place. Whole vectors and the rest go through the same arithmetic.
template <class V>
void finish_row(float* out, const float* sums, const PanelJob& job) {
  for (int64_t j = 0; j < job.columns; j += V::kWidth) {
    const int64_t n = job.columns - j;
    typename V::F x = V::load(sums + j);
    if (n >= V::kWidth) {
      if (job.bias != nullptr) x = x + V::load(job.bias + j);
      if (job.epilogue == Epilogue::add) x = x + V::load(out + j);
      V::store(out + j, apply<V>(job.epilogue, x));
    } else {
      if (job.bias != nullptr) x = x + V::load(job.bias + j, n);
      if (job.epilogue == Epilogue::add) x = x + V::load(out + j, n);
      V::store(out + j, apply<V>(job.epilogue, x), n);
    }
  }
}

template <class V, class Units>
void panel(const PanelJob& job) {
  using Unit = typename Units::Unit;
  alignas(64) float sums[Units::kRows][kPanel];
  const Unit* x = static_cast<const Unit*>(job.x);
  const int64_t columns = (job.columns + V::kWidth - 1) / V::kWidth * V::kWidth;
  for (int64_t row = 0; row < job.rows;) {
    const int64_t rows = strip_rows(job.rows - row, Units::kRows);
    strip<V, Units>(rows, sums[0], kPanel, x + row * job.x_stride, job.x_stride,
                    static_cast<const Unit*>(job.panel), kPanel, job.units, columns, false);
    for (int64_t r = 0; r < rows; ++r) finish_row<V>(job.out + (row + r) * job.out_stride, sums[r], job);
    row += rows;
  }
}

}  // namespace
}  // namespace uhd::cpu
