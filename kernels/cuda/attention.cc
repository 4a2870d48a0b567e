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

void check_head(const char* operation, int64_t d) {
  check(d >= 1 && d <= kLargestHead, operation, ": head size ", d, " is above ", kLargestHead);
}

}  // namespace

Attention::Attention(cudaStream_t stream, bool plain) : stream_(stream), plain_(plain) {
  if (plain_) return;
  int device = 0, processors = 0, shared_bytes = 0;
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
             "asking for the number of multiprocessors");
  check_cuda(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for shared memory");
  at_once_ = blocks_at_once(processors, shared_bytes, tile_bytes(kLargestTileHead));
  scratch_bytes_ = split_scratch_bytes(at_once_, kLargestTileHead);
  void* memory = nullptr;
  check_cuda(cudaMalloc(&memory, scratch_bytes_), "allocating memory for attention");
  scratch_ = static_cast<float*>(memory);
}

Attention::~Attention() {
  if (scratch_ != nullptr) cudaFree(scratch_);
}

void Attention::packed(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets,
                       int max_q, float scale) {
  check_head("packed_attention", q.dim(2));
  bool tiles = !plain_ && max_q >= kLeastTileRows && scale > 0;
  for (const Tensor& t : {out, q, k, v}) tiles = tiles && fits_tensor_cores(t);
  if (tiles)
    packed_attention_tiles(stream_, out, q, k, v, q_offsets, kv_offsets, max_q, scale);
  else
    packed_attention_rows(stream_, out, q, k, v, q_offsets, kv_offsets, scale);
}

void Attention::paged(Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans, float scale) {
  check_head("paged_attention", q.dim(2));
  bool tiles = !plain_ && scale > 0;
  for (const Tensor& t : {out, q, pages.k, pages.v}) tiles = tiles && fits_tensor_cores(t);
  if (!tiles) return paged_attention_rows(stream_, out, q, pages, spans, scale);
  const int splits = decode_splits(spans.kv_lengths.dim(0), pages.k.dim(2), spans.max_kv, at_once_);
  paged_attention_tiles(stream_, out, q, pages, spans, scale, splits, scratch_);
}

}  // namespace uhd::cuda
