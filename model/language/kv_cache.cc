#include "model/language/kv_cache.h"

namespace uhd {

KvCache::KvCache(Backend& backend, int layers, int kv_heads, int head_dim, int pages, int page_size,
                 DType dtype)
    : pages_(pages), page_size_(page_size) {
  require(pages > 0 && page_size > 0, "a KV cache needs at least one page");
  require(int64_t{pages} * page_size <= INT32_MAX, "a KV cache of ", pages, " pages of ", page_size,
          " tokens has more slots than an index can name");
  const Shape shape{pages, page_size, kv_heads, head_dim};
  const int64_t matrices = int64_t{2} * layers;
  memory_ = backend.allocate(bytes_per_page(layers, kv_heads, head_dim, page_size, dtype) *
                             static_cast<size_t>(pages));
  const Tensor all = memory_.as(dtype, {matrices * pages, page_size, kv_heads, head_dim});
  // One page of all layers lies together on the host, where memory is taken when it is touched: a system's
  // huge page holds the keys of few pages, instead of one layer's for hundreds. A device wants dense layers.
  const bool together = backend.host_memory();
  const int64_t stride = all.row_stride() * (together ? matrices : 1);
  const auto matrix = [&](int64_t index) {
    return Tensor(all.slice_rows(together ? index : index * pages, 1).raw(), dtype, shape, stride);
  };
  layers_.reserve(static_cast<size_t>(layers));
  for (int64_t i = 0; i < layers; ++i) layers_.push_back({matrix(2 * i), matrix(2 * i + 1)});
}

size_t KvCache::bytes_per_page(int layers, int kv_heads, int head_dim, int page_size, DType dtype) {
  return 2 * static_cast<size_t>(layers) * static_cast<size_t>(kv_heads) * static_cast<size_t>(head_dim) *
         static_cast<size_t>(page_size) * size_of(dtype);
}

}  // namespace uhd
