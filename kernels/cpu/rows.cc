// Operations that move whole rows or pages.
#include <cstring>

#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"

namespace uhd::cpu {
namespace {

int64_t entry(const char* operation, Tensor index, int64_t i, int64_t size) {
  const int64_t at = index.data<int32_t>()[i];
  check(at >= 0 && at < size, operation, ": index ", at, " of ", size);
  return at;
}

}  // namespace

void Backend::embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) {
  contracts::embed(out, table, ids, first_id);
  const int64_t n = out.dim(1);
  for_rows(out.rows(), n, [&](int64_t t) {
    const int64_t id = ids.data<int32_t>()[t] - first_id;
    float* row = out.row<float>(t);
    if (id < 0 || id >= table.rows()) {
      std::fill_n(row, n, 0.0f);
    } else if (table.dtype() == DType::f32) {
      std::memcpy(row, table.row<float>(id), static_cast<size_t>(n) * 4);
    } else if (table.dtype() == DType::bf16) {
      table_.from_bf16(row, &table.row<bf16>(id)->bits, n);
    } else {
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(table.row<f16>(id)[i]);
    }
  });
}

void Backend::add_rows(Tensor x, Tensor rows, Tensor index) {
  contracts::add_rows(x, rows, index);
  for (int64_t t = 0; t < x.rows(); ++t) entry("add_rows", index, t, rows.rows());
  for_rows(x.rows(), x.dim(1), [&](int64_t t) {
    table_.add(x.row<float>(t), x.row<float>(t), rows.row<float>(index.data<int32_t>()[t]), x.dim(1));
  });
}

void Backend::gather_rows(Tensor out, Tensor x, Tensor index) {
  contracts::gather_rows(out, x, index);
  for (int64_t i = 0; i < out.rows(); ++i) {
    const float* row = x.row<float>(entry("gather_rows", index, i, x.rows()));
    std::memcpy(out.row<float>(i), row, static_cast<size_t>(x.dim(1)) * 4);
  }
}

void Backend::scatter_rows(Tensor x, Tensor rows, Tensor index) {
  contracts::scatter_rows(x, rows, index);
  for (int64_t i = 0; i < rows.rows(); ++i) {
    float* row = x.row<float>(entry("scatter_rows", index, i, x.rows()));
    std::memcpy(row, rows.row<float>(i), static_cast<size_t>(x.dim(1)) * 4);
  }
}

void Backend::copy_pages(KvLayer pages, Tensor from, Tensor to) {
  contracts::copy_pages(pages, from, to);
  const size_t bytes = static_cast<size_t>(pages.k.row_size()) * size_of(pages.k.dtype());
  const auto page = [&](Tensor t, int64_t i) { return static_cast<std::byte*>(t.raw()) + i * bytes; };
  for (int64_t i = 0; i < from.rows(); ++i) {
    const int64_t source = entry("copy_pages", from, i, pages.k.rows());
    const int64_t target = entry("copy_pages", to, i, pages.k.rows());
    if (source == target) continue;
    std::memcpy(page(pages.k, target), page(pages.k, source), bytes);
    std::memcpy(page(pages.v, target), page(pages.v, source), bytes);
  }
}

}  // namespace uhd::cpu
