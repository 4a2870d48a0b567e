#include "kernels/cuda/attention.h"

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/launchers.h"

namespace uhd::cuda {
namespace {

constexpr int64_t kLargestHead = 512;
// Segments with fewer rows leave a tile of 64 all but empty.
constexpr int kLeastTileRows = 8;

bool fits_tensor_cores(const Tensor& t) {
  const int64_t d = t.dim(t.rank() - 1);
  return t.dtype() == DType::bf16 && d <= kLargestTileHead && d % 8 == 0 && t.row_stride() % 8 == 0 &&
         reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0;
}

// FlashInfer computes places in q, out and the page table, this in tokens, in 32 bits, and writes rows of
// Hq·D one behind another.
bool fits_flashinfer(const Tensor& out, const Tensor& q, const KvLayer& pages, const PagedSpans& spans) {
  const int64_t d = out.dim(2), group = out.dim(1) / pages.k.dim(2), sequences = spans.kv_lengths.dim(0);
  return (d == 64 || d == 128) && out.dense() && spans.page_table.dense() &&
         q.rows() * q.row_stride() <= INT32_MAX && out.elements() <= INT32_MAX &&
         sequences * spans.page_table.row_stride() * pages.k.dim(1) <= INT32_MAX &&
         plan_bytes(sequences, first_slot(sequences, out.rows(), group, kSplitRows)) <= kPlanBytes;
}

void check_head(const char* operation, int64_t d) {
  check(d >= 1 && d <= kLargestHead, operation, ": head size ", d, " is above ", kLargestHead);
}

}  // namespace

AttentionForm attention_form(const std::string& name) {
  if (name == "auto") return AttentionForm::automatic;
  if (name == "plain") return AttentionForm::plain;
  require(name == "flashinfer", "backend.attention is '", name, "', but must be auto, plain or flashinfer");
  require(has_flashinfer(),
          "backend.attention is flashinfer, but this build is without it: docs/gpu.md, Building");
  return AttentionForm::flashinfer;
}

Attention::Attention(cudaStream_t stream, AttentionForm form) : stream_(stream), form_(form) {
  if (form_ == AttentionForm::plain) return;
  int device = 0, processors = 0, shared_bytes = 0;
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
             "asking for the number of multiprocessors");
  check_cuda(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for shared memory");
  at_once_ = blocks_at_once(processors, shared_bytes, tile_bytes(kLargestTileHead));
  const size_t split_bytes = split_scratch_bytes(at_once_, kLargestTileHead);
  scratch_bytes_ = split_bytes + (form_ == AttentionForm::flashinfer ? kPlanBytes : 0);
  memory_ = take_device_memory(scratch_bytes_, "attention");
  scratch_ = static_cast<float*>(memory_.get());
  plan_ = static_cast<std::byte*>(memory_.get()) + split_bytes;
}

void Attention::queue(const ops::PackedAttention& op) {
  check_head("packed_attention", op.q.dim(2));
  bool tiles = form_ != AttentionForm::plain && op.max_q >= kLeastTileRows && op.scale > 0;
  for (const Tensor& t : {op.out, op.q, op.k, op.v}) tiles = tiles && fits_tensor_cores(t);
  if (tiles) {
    packed_attention_tiles(stream_, op.out, op.q, op.k, op.v, op.q_offsets, op.kv_offsets, op.max_q,
                           op.scale);
  } else {
    packed_attention_rows(stream_, op.out, op.q, op.k, op.v, op.q_offsets, op.kv_offsets, op.scale);
  }
}

void Attention::queue(const ops::PagedAttention& op) {
  const auto& [out, q, pages, spans, scale] = op;
  check(pages.k.dense(), "pages are dense on a device");
  check_head("paged_attention", q.dim(2));
  bool tiles = form_ != AttentionForm::plain && scale > 0;
  for (const Tensor& t : {out, q, pages.k, pages.v}) tiles = tiles && fits_tensor_cores(t);
  if (!tiles) return paged_attention_rows(stream_, out, q, pages, spans, scale);
  const int splits = decode_splits(spans.kv_lengths.dim(0), pages.k.dim(2), spans.max_kv, at_once_);
  if (form_ != AttentionForm::flashinfer || !fits_flashinfer(out, q, pages, spans))
    return paged_attention_tiles(stream_, out, q, pages, spans, scale, splits, scratch_);
  // Its blocks take all keys of a sequence: too few of them where splits would fill the device.
  paged_attention_flashinfer(stream_, out, q, pages, spans, scale, splits == 1, plan_);
  if (splits > 1) paged_attention_splits(stream_, out, q, pages, spans, scale, splits, scratch_);
}

}  // namespace uhd::cuda
