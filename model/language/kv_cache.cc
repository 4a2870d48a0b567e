#include "model/language/kv_cache.h"

namespace uhd {

KvCache::KvCache(Backend& backend, int layers, int kv_heads, int head_dim, int pages, int page_size,
                 DType dtype)
    : pages_(pages), page_size_(page_size) {
  require(pages > 0 && page_size > 0, "a KV cache needs at least one page");
  require(int64_t{pages} * page_size <= INT32_MAX, "a KV cache of ", pages, " pages of ", page_size,
          " tokens has more slots than an index can name");
  const Shape shape{pages, page_size, kv_heads, head_dim};
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  layers_.reserve(static_cast<size_t>(layers));
  for (int i = 0; i < layers; ++i) {
    Layer layer{backend.allocate(bytes), backend.allocate(bytes), {}};
    layer.view = {layer.k.as(dtype, shape), layer.v.as(dtype, shape)};
    layers_.push_back(std::move(layer));
  }
}

size_t KvCache::bytes_per_page(int layers, int kv_heads, int head_dim, int page_size, DType dtype) {
  return 2 * static_cast<size_t>(layers) * static_cast<size_t>(kv_heads) * static_cast<size_t>(head_dim) *
         static_cast<size_t>(page_size) * size_of(dtype);
}

}  // namespace uhd
