// Replaces FlashInfer's headers in emulation: it has the names, template parameters and fields of their
// public interface that kernels/cuda/attention_flashinfer.cu uses, as in the release that scripts/flashinfer
// brings. The kernels (prefill.cuh) are written here and contain nothing of FlashInfer's.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace flashinfer {

// This is a divisor; FlashInfer stores beside it the numbers that make division cheap.
struct uint_fastdiv {
  uint32_t d = 0;
  uint_fastdiv() = default;
  explicit uint_fastdiv(uint32_t divisor) : d(divisor) {}
  operator unsigned() const { return d; }  // NOLINT(google-explicit-constructor)
};

enum class QKVLayout { kNHD = 0, kHND = 1 };

template <class DType, class IdType>
struct paged_kv_t {
  uint_fastdiv page_size;
  uint32_t num_heads = 0;
  uint32_t head_dim = 0;
  uint32_t batch_size = 0;
  uint32_t stride_page = 0;
  uint32_t stride_n = 0;
  uint32_t stride_h = 0;
  DType* k_data = nullptr;
  DType* v_data = nullptr;
  IdType* indices = nullptr;
  IdType* indptr = nullptr;         // [batch_size + 1]
  IdType* last_page_len = nullptr;  // [batch_size]
  IdType* rope_pos_offset = nullptr;

  paged_kv_t() = default;
  paged_kv_t(uint32_t heads, uint32_t page, uint32_t d, uint32_t batch, QKVLayout layout, DType* k, DType* v,
             IdType* page_indices, IdType* page_indptr, IdType* last)
      : page_size(page),
        num_heads(heads),
        head_dim(d),
        batch_size(batch),
        stride_page(heads * page * d),
        stride_n(layout == QKVLayout::kHND ? d : heads * d),
        stride_h(layout == QKVLayout::kHND ? page * d : d),
        k_data(k),
        v_data(v),
        indices(page_indices),
        indptr(page_indptr),
        last_page_len(last) {}

  uint32_t get_length(uint32_t batch) const {
    const IdType pages = indptr[batch + 1] - indptr[batch];
    return pages == 0 ? 0 : static_cast<uint32_t>((pages - 1) * page_size.d + last_page_len[batch]);
  }
};

template <class Q, class KV, class O, class Id>
struct BatchPrefillPagedParams {
  using DTypeQ = Q;
  using DTypeKV = KV;
  using DTypeO = O;
  using IdType = Id;

  Q* q = nullptr;
  paged_kv_t<KV, Id> paged_kv;
  uint8_t* maybe_custom_mask = nullptr;
  Id* q_indptr = nullptr;
  Id* maybe_mask_indptr = nullptr;
  Id* maybe_q_rope_offset = nullptr;
  O* o = nullptr;
  float* lse = nullptr;
  float* maybe_alibi_slopes = nullptr;
  uint_fastdiv group_size;
  uint32_t num_qo_heads = 0;
  Id q_stride_n = 0;
  Id q_stride_h = 0;
  int32_t window_left = 0;
  float logits_soft_cap = 0;
  float sm_scale = 0;
  Id* request_indices = nullptr;
  Id* qo_tile_indices = nullptr;
  Id* kv_tile_indices = nullptr;
  Id* merge_indptr = nullptr;
  Id* o_indptr = nullptr;
  bool* block_valid_mask = nullptr;
  Id* kv_chunk_size_ptr = nullptr;
  uint32_t max_total_num_rows = 0;
  uint32_t* total_num_rows = nullptr;
  uint32_t padded_batch_size = 0;
  bool partition_kv = false;

  uint32_t get_qo_len(uint32_t batch) const { return q_indptr[batch + 1] - q_indptr[batch]; }
  uint32_t get_kv_len(uint32_t batch) const { return paged_kv.get_length(batch); }
};

}  // namespace flashinfer
