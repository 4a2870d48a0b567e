// Lays out keys and values inside a page.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/table.h"

namespace uhd::cpu {

// If the sizes allow it, a page is an operand B for each head, which attention reads in place: keys [Hk][D
// units][page], values [Hk][page in units][D]. Other sizes keep [page,Hk,D] and are packed at each use.
struct PageLayout {
  bool in_place;
  bool pairs;  // units are pairs of bfloat16
  int64_t page;
  int64_t heads;
  int64_t d;
  int64_t stride;  // elements from one page to the next

  explicit PageLayout(const Tensor& pages)
      : in_place(pages.dim(1) % 16 == 0 && pages.dim(1) <= kBlockKeys && pages.dim(3) % 16 == 0),
        pairs(pages.dtype() == DType::bf16),
        page(pages.dim(1)),
        heads(pages.dim(2)),
        d(pages.dim(3)),
        stride(pages.row_stride()) {}

  // These return element indices from the start of all pages.
  int64_t key_at(int64_t page_index, int64_t offset, int64_t head, int64_t i) const {
    const int64_t start = page_index * stride;
    if (!in_place) return start + (offset * heads + head) * d + i;
    const int64_t n = pairs ? 2 : 1;
    return start + ((head * (d / n) + i / n) * page + offset) * n + i % n;
  }
  int64_t value_at(int64_t page_index, int64_t offset, int64_t head, int64_t i) const {
    const int64_t start = page_index * stride;
    if (!in_place) return start + (offset * heads + head) * d + i;
    const int64_t n = pairs ? 2 : 1;
    return start + ((head * (page / n) + offset / n) * d + i) * n + offset % n;
  }
};

}  // namespace uhd::cpu
