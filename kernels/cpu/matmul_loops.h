// Runs one panel of a matmul, over the vector type V of the including file; it is internal to that file.
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

// Returns sums as they are, in groups of 16 columns that lie `step` apart.
template <class V>
struct FloatSums {
  const float* row;
  int64_t step = 16;
  typename V::F at(int64_t j) const { return V::load(row + j / 16 * step + j % 16); }
};

// Sums of floats times the columns' scales.
template <class V>
struct ScaledSums {
  FloatSums<V> sums;
  const float* scales;
  typename V::F at(int64_t j) const { return sums.at(j) * V::load(scales + j); }
};

// Returns sums of codes times the row's scale, then the columns'. `excess` is what the instruction adds to
// each code of the panel, times the sum of the row's codes.
template <class V>
struct CodeSums {
  const uint32_t* row;
  int64_t step;
  uint32_t excess;
  float scale;
  const float* scales;
  typename V::F at(int64_t j) const {
    const typename V::U sums = V::load_units(row + j / 16 * step + j % 16);
    return V::from_int(V::minus(sums, V::all_units(excess))) * V::all(scale) * V::load(scales + j);
  }
};

// Writes one row of a finished tile to its place. Whole vectors and the rest go through the same arithmetic.
template <class V, class Sums>
void finish_row(float* out, const Sums& sums, const PanelJob& job) {
  for (int64_t j = 0; j < job.columns; j += V::kWidth) {
    const int64_t n = job.columns - j;
    typename V::F x = sums.at(j);
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

template <class V>
CodeSums<V> code_sums(const PanelJob& job, int64_t r, const uint32_t* sums, int64_t step, uint32_t excess) {
  const RowCodes& row = job.row_codes[r];
  return {sums, step, static_cast<uint32_t>(row.sum) * excess, row.scale,
          static_cast<const float*>(job.scales)};
}

// A block of the panel stays in cache while all strips use it. Memory would idle while the later ones do, so
// each strip prefetches its share of the next block; the panels follow one another in memory.
template <class V, class Units>
void one_strip(const PanelJob& job, typename Units::Element* sums, int64_t row, int64_t rows, int64_t first,
               int64_t units, int ahead, int64_t ahead_line) {
  using Unit = typename Units::Unit;
  const Unit* x = static_cast<const Unit*>(job.x) + row * job.x_stride + first;
  const Unit* b = static_cast<const Unit*>(job.panel) + first * kPanel;
  const Unit* next = b + units * kPanel + ahead_line * kLine;
  const int64_t columns = (job.columns + V::kWidth - 1) / V::kWidth * V::kWidth;
  typename Units::Element* c = sums + row * kPanel;
  if (ahead == 2)
    strip<V, Units, 2>(rows, c, kPanel, x, job.x_stride, b, kPanel, units, columns, first > 0, next);
  else if (ahead == 1)
    strip<V, Units, 1>(rows, c, kPanel, x, job.x_stride, b, kPanel, units, columns, first > 0, next);
  else
    strip<V, Units, 0>(rows, c, kPanel, x, job.x_stride, b, kPanel, units, columns, first > 0);
}

template <class V, class Units>
void panel(const PanelJob& job) {
  alignas(64) typename Units::Element sums[kPanelRows * kPanel];
  const int64_t strips = (job.rows + Units::kRows - 1) / Units::kRows;
  const int64_t block = strips == 1 ? job.units : V::kBlockUnits;
  for (int64_t first = 0; first < job.units; first += block) {
    const int64_t units = smaller(block, job.units - first);
    int64_t line = 0;
    for (int64_t row = 0; row < job.rows;) {
      const int64_t rows = strip_rows(job.rows - row, Units::kRows);
      // The strips share the four lines of each row of the block.
      const int ahead = strips == 1 || line == 4 ? 0 : strips == 2 || (strips == 3 && line == 0) ? 2 : 1;
      one_strip<V, Units>(job, sums, row, rows, first, units, ahead, line);
      line += ahead;
      row += rows;
    }
  }
  for (int64_t r = 0; r < job.rows; ++r) {
    float* out = job.out + r * job.out_stride;
    if constexpr (Units::kPerUnit == 4)
      finish_row<V>(out, code_sums<V>(job, r, sums + r * kPanel, 16, V::kExcess), job);
    else
      finish_row<V>(out, FloatSums<V>{sums + r * kPanel}, job);
  }
}

}  // namespace
}  // namespace uhd::cpu
