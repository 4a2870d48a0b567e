// The memory of the KV pages of one rank: its heads of every layer. Who holds which page is the scheduler's
// affair.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace uhd {

class KvCache {
 public:
  // `pages` pages of `page_size` tokens for kv_heads heads of head_dim, in every layer. Type: f32, or bf16 at
  // half the memory.
  KvCache(Backend& backend, int layers, int kv_heads, int head_dim, int pages, int page_size, DType dtype);

  KvLayer layer(int index) const {
    return layers_[static_cast<size_t>(index)].view;
  }  // [pages, page, Hk, D] each
  int layers() const { return static_cast<int>(layers_.size()); }
  int pages() const { return pages_; }
  int page_size() const { return page_size_; }

  // What one page costs over all layers, keys and values.
  static size_t bytes_per_page(int layers, int kv_heads, int head_dim, int page_size, DType dtype);

 private:
  struct Layer {
    DeviceBuffer k, v;
    KvLayer view;
  };
  int pages_;
  int page_size_;
  std::vector<Layer> layers_;
};

}  // namespace uhd
