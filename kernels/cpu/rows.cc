// Implements the operations that move whole rows or pages.
#include <cstring>

#include "kernels/cpu/backend.h"

namespace uhd::cpu {
namespace {

int64_t entry(const char* operation, Tensor index, int64_t i, int64_t size) {
  const int64_t at = index.data<int32_t>()[i];
  check(at >= 0 && at < size, operation, ": index ", at, " of ", size);
  return at;
}

}  // namespace

void Backend::perform(const ops::Embed& op) {
  const int64_t n = op.out.dim(1);
  for_rows(op.out.rows(), n, [&](int64_t t) {
    const int64_t id = op.ids.data<int32_t>()[t] - op.first_id;
    float* row = op.out.row<float>(t);
    if (id < 0 || id >= op.table.rows()) {
      std::fill_n(row, n, 0.0f);
    } else if (op.table.dtype() == DType::f32) {
      std::memcpy(row, op.table.row<float>(id), static_cast<size_t>(n) * 4);
    } else if (op.table.dtype() == DType::bf16) {
      table_.from_bf16(row, &op.table.row<bf16>(id)->bits, n);
    } else {
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(op.table.row<f16>(id)[i]);
    }
  });
}

void Backend::perform(const ops::AddRows& op) {
  for (int64_t t = 0; t < op.x.rows(); ++t) entry("add_rows", op.index, t, op.rows.rows());
  for_rows(op.x.rows(), op.x.dim(1), [&](int64_t t) {
    table_.add(op.x.row<float>(t), op.x.row<float>(t), op.rows.row<float>(op.index.data<int32_t>()[t]),
               op.x.dim(1));
  });
}

void Backend::perform(const ops::GatherRows& op) {
  for (int64_t i = 0; i < op.out.rows(); ++i) {
    const float* row = op.x.row<float>(entry("gather_rows", op.index, i, op.x.rows()));
    std::memcpy(op.out.row<float>(i), row, static_cast<size_t>(op.x.dim(1)) * 4);
  }
}

void Backend::perform(const ops::ScatterRows& op) {
  for (int64_t i = 0; i < op.rows.rows(); ++i) {
    float* row = op.x.row<float>(entry("scatter_rows", op.index, i, op.x.rows()));
    std::memcpy(row, op.rows.row<float>(i), static_cast<size_t>(op.x.dim(1)) * 4);
  }
}

void Backend::perform(const ops::CopyPages& op) {
  const size_t bytes = static_cast<size_t>(op.pages.k.row_size()) * size_of(op.pages.k.dtype());
  const auto page = [&](Tensor t, int64_t i) { return t.slice_rows(i, 1).raw(); };
  for (int64_t i = 0; i < op.from.rows(); ++i) {
    const int64_t source = entry("copy_pages", op.from, i, op.pages.k.rows());
    const int64_t target = entry("copy_pages", op.to, i, op.pages.k.rows());
    if (source == target) continue;
    std::memcpy(page(op.pages.k, target), page(op.pages.k, source), bytes);
    std::memcpy(page(op.pages.v, target), page(op.pages.v, source), bytes);
  }
}

}  // namespace uhd::cpu
