// A KvCache is the memory of the KV pages of one rank: the rank's heads of every layer. The scheduler knows
// who holds which page.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace uhd {

class KvCache {
 public:
  // Allocates `pages` pages of `page_size` tokens for kv_heads heads of head_dim, in every layer. The type is
  // f32, or bf16 at half the memory.
  KvCache(Backend& backend, int layers, int kv_heads, int head_dim, int pages, int page_size, DType dtype);

  KvLayer layer(int index) const { return layers_[static_cast<size_t>(index)]; }  // each [pages, page, Hk, D]
  int layers() const { return static_cast<int>(layers_.size()); }
  int pages() const { return pages_; }
  int page_size() const { return page_size_; }

  // Returns the bytes of one page over all layers, keys and values.
  static size_t bytes_per_page(int layers, int kv_heads, int head_dim, int page_size, DType dtype);

 private:
  int pages_;
  int page_size_;
  DeviceBuffer memory_;
  std::vector<KvLayer> layers_;
};

}  // namespace uhd
