// Runs causal attention over paged keys and values by FlashInfer's prefill kernels; decoding is their case of
// few rows. This is the one file that includes FlashInfer's headers, so that their compile time is paid once;
// emulation/flashinfer_standin replaces them in emulation.
#include <flashinfer/attention/default_prefill_params.cuh>
#include <flashinfer/attention/prefill.cuh>

#include "kernels/cuda/vector.cuh"

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/flashinfer_plan.h"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {
namespace {

// FlashInfer takes the length of a sequence from where its pages end in a list without gaps, and from
// last_page_len. The rows of our page table are all as wide as the longest: it is read where it is, and
// lengths come from the step.
struct PagedParams : flashinfer::BatchPrefillPagedParams<Bf16, Bf16, Bf16, int32_t> {
  const int32_t* kv_lengths = nullptr;  // [S]
  __host__ __device__ uint32_t get_kv_len(uint32_t sequence) const {
    return static_cast<uint32_t>(kv_lengths[sequence]);
  }
};

// No window, soft cap, bias or mask but the causal one.
using Causal = flashinfer::DefaultAttention<false, false, false, false>;

// These are not const where FlashInfer's parameters are not; it only reads them.
int32_t* indices(const Tensor& t) { return const_cast<int32_t*>(t.data<int32_t>()); }
Bf16* elements(const Tensor& t) { return static_cast<Bf16*>(t.raw()); }

PagedParams parameters(Tensor out, Tensor q, const KvLayer& pages, const PagedSpans& spans, float scale,
                       const FlashInferPlan& plan) {
  const auto heads = static_cast<uint32_t>(q.dim(1)), kv_heads = static_cast<uint32_t>(pages.k.dim(2));
  const auto d = static_cast<uint32_t>(q.dim(2));
  PagedParams p;
  p.q = elements(q);
  p.paged_kv = flashinfer::paged_kv_t<Bf16, int32_t>(
      kv_heads, static_cast<uint32_t>(pages.k.dim(1)), d, static_cast<uint32_t>(spans.kv_lengths.dim(0)),
      flashinfer::QKVLayout::kNHD, elements(pages.k), elements(pages.v), indices(spans.page_table),
      plan.kv_indptr, /*last_page_len=*/nullptr);
  p.q_indptr = indices(spans.q_offsets);
  p.o = elements(out);
  p.group_size = flashinfer::uint_fastdiv(heads / kv_heads);
  p.num_qo_heads = heads;
  p.q_stride_n = static_cast<int32_t>(q.row_stride());
  p.q_stride_h = static_cast<int32_t>(d);
  p.window_left = -1;
  p.sm_scale = scale;
  p.request_indices = plan.request_indices;
  p.qo_tile_indices = plan.qo_tile_indices;
  p.kv_tile_indices = plan.kv_tile_indices;
  p.o_indptr = indices(spans.q_offsets);  // undivided keys: a row's result is its place in out
  p.block_valid_mask = plan.block_valid_mask;
  p.kv_chunk_size_ptr = plan.kv_chunk_size;
  p.padded_batch_size = static_cast<uint32_t>(plan.slots);
  p.kv_lengths = spans.kv_lengths.data<int32_t>();
  return p;
}

template <int Tile, int D>
void attend(cudaStream_t stream, const PagedParams& p) {
  check_cuda(
      flashinfer::BatchPrefillWithPagedKVCacheDispatched<Tile, D, D, flashinfer::PosEncodingMode::kNone,
                                                         false, flashinfer::MaskMode::kCausal, Causal>(
          p, /*tmp_v=*/nullptr, /*tmp_s=*/nullptr, /*enable_pdl=*/false, stream),
      "launching FlashInfer's attention");
}

template <int Tile>
void attend(cudaStream_t stream, const PagedParams& p) {
  if (p.paged_kv.head_dim == 64)
    attend<Tile, 64>(stream, p);
  else
    attend<Tile, 128>(stream, p);
}

}  // namespace

bool has_flashinfer() { return true; }

void paged_attention_flashinfer(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                const PagedSpans& spans, float scale, bool decodes, void* plan) {
  if (q.elements() == 0 || spans.kv_lengths.dim(0) == 0) return;
  const auto planned = [&](const FlashInferRows& take) {
    return parameters(out, q, pages, spans, scale, flashinfer_plan(stream, plan, take, q, pages, spans));
  };
  const int most_rows = spans.max_q * static_cast<int>(q.dim(1) / pages.k.dim(2));
  if (most_rows > kSplitRows)
    attend<kFlashInferTile>(stream, planned({kFlashInferTile, kSplitRows, most_rows}));
  if (decodes && (spans.kv_lengths.dim(0) > 1 || most_rows <= kSplitRows))
    attend<kSplitRows>(stream, planned({kSplitRows, 0, kSplitRows}));
}

}  // namespace uhd::cuda
