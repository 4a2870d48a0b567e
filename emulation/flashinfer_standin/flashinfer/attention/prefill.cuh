// Runs plain loops in place of FlashInfer's kernel. They read its index arrays as it does: block x of the
// grid is a slot, block z a key head; a tile's rows are a token's query heads, then the next token's.
// Behaviour that FlashInfer leaves undefined is a failure: an index outside its array, an address outside
// device memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "emulation/streams.h"
#include "flashinfer/attention/default_prefill_params.cuh"
#include "kernels/cuda/vector.cuh"

namespace flashinfer {

enum class PosEncodingMode { kNone = 0 };
enum class MaskMode { kNone = 0, kCausal = 1 };

template <bool CustomMask, bool SlidingWindow, bool SoftCap, bool Alibi>
struct DefaultAttention {
  static_assert(!CustomMask && !SlidingWindow && !SoftCap && !Alibi,
                "the stand-in has causal attention alone");
  uint32_t qo_len;
  uint32_t kv_len;
  template <class Params>
  DefaultAttention(const Params& p, uint32_t batch)
      : qo_len(p.get_qo_len(batch)), kv_len(p.get_kv_len(batch)) {}
};

namespace standin {

inline int launches = 0;  // the number so far

inline void expect(bool holds, const char* what, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  if (!holds) uhd::emulation::fail_lane(what, file, line);
}

template <class T>
T index(const T* array, uint32_t i) {
  expect(uhd::emulation::in_device_memory(array + i, sizeof(T)), "FlashInfer's index is outside its array");
  return array[i];
}

// Returns one row of D elements in device memory.
template <int D, class T>
T* row(T* at) {
  expect(uhd::emulation::in_device_memory(at, D * sizeof(T)), "FlashInfer would leave device memory");
  uhd::emulation::require_aligned(at, 16, __builtin_FILE(), __builtin_LINE());
  return at;
}

template <int D, class T>
float dot(const T* a, const T* b) {
  float sum = 0;
  for (int c = 0; c < D; ++c) sum += static_cast<float>(a[c]) * static_cast<float>(b[c]);
  return sum;
}

// One thread computes each row of the tile.
template <int Tile, int D, class Variant, class Params>
void attend(Params p) {
  const auto& kv = p.paged_kv;
  const uint32_t slot = blockIdx.x, kv_head = blockIdx.z;
  const uint32_t chunk = index(p.kv_chunk_size_ptr, 0);
  if (p.block_valid_mask != nullptr && !index(p.block_valid_mask, slot)) return;
  const auto request = static_cast<uint32_t>(index(p.request_indices, slot));
  expect(request < kv.batch_size, "FlashInfer's request is none of the batch");
  const Variant variant(p, request);
  expect(index(p.kv_tile_indices, slot) == 0 && chunk >= variant.kv_len, "FlashInfer's keys are split");
  expect(variant.kv_len >= variant.qo_len, "FlashInfer's sequence is shorter than its queries");

  const uint32_t group = p.group_size, r = index(p.qo_tile_indices, slot) * Tile + threadIdx.x;
  const uint32_t token = r / group, head = kv_head * group + r % group;
  if (token >= variant.qo_len) return;
  const auto key_at = [&](uint32_t key) {
    const uint32_t page = index(kv.indptr, request) + key / kv.page_size;
    expect(page < static_cast<uint32_t>(index(kv.indptr, kv.batch_size)),
           "FlashInfer's page is behind the last");
    return size_t{static_cast<uint32_t>(index(kv.indices, page))} * kv.stride_page +
           key % kv.page_size * size_t{kv.stride_n} + kv_head * size_t{kv.stride_h};
  };
  const auto* q = row<D>(p.q + (int64_t{index(p.q_indptr, request)} + token) * p.q_stride_n +
                         head * int64_t{p.q_stride_h});
  // The last key that this token sees is its own.
  std::vector<float> weights(variant.kv_len - variant.qo_len + token + 1);
  float top = -INFINITY, total = 0;
  for (uint32_t key = 0; key < weights.size(); ++key) {
    weights[key] = dot<D>(q, row<D>(kv.k_data + key_at(key))) * p.sm_scale;
    top = std::max(top, weights[key]);
  }
  float sums[D] = {};
  for (uint32_t key = 0; key < weights.size(); ++key) {
    const float weight = std::exp(weights[key] - top);
    const auto* v = row<D>(kv.v_data + key_at(key));
    total += weight;
    for (int c = 0; c < D; ++c) sums[c] += weight * static_cast<float>(v[c]);
  }
  // The results are dense: [tokens, query heads, D].
  auto* o =
      row<D>(p.o + (int64_t{index(p.o_indptr, request)} + token) * p.num_qo_heads * D + head * int64_t{D});
  for (int c = 0; c < D; ++c) o[c] = uhd::cuda::from_float<typename Params::DTypeO>(sums[c] / total);
}

}  // namespace standin

template <uint32_t Tile, uint32_t D, uint32_t DOut, PosEncodingMode Encoding, bool F16Sums, MaskMode Mask,
          class Variant, class Params>
cudaError_t BatchPrefillWithPagedKVCacheDispatched(Params p, typename Params::DTypeO* tmp_v, float* tmp_s,
                                                   bool enable_pdl, cudaStream_t stream) {
  static_assert(D == DOut && Encoding == PosEncodingMode::kNone && !F16Sums && Mask == MaskMode::kCausal);
  static_assert(Tile == 16 || Tile == 64 || Tile == 128);
  if (p.padded_batch_size == 0) return cudaSuccess;
  // The loops do not support these.
  if (tmp_v != nullptr || tmp_s != nullptr || enable_pdl || p.lse != nullptr || p.window_left >= 0 ||
      p.paged_kv.head_dim != D || p.num_qo_heads != p.group_size * p.paged_kv.num_heads)
    return cudaErrorInvalidValue;
  ++standin::launches;
  uhd::cuda::launch(standin::attend<Tile, D, Variant, Params>,
                    dim3(p.padded_batch_size, 1, p.paged_kv.num_heads), dim3(Tile), 0, stream, p);
  return cudaSuccess;
}

}  // namespace flashinfer
