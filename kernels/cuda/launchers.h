// The launchers of the kernel files. Shapes and types are those of kernels/operations.h and were checked
// before (kernels/contracts.cc); no elements is no launch.
#pragma once

#include <cuda_runtime.h>

#include "kernels/operations.h"

namespace uhd::cuda {

// Puts an operation on the stream: norm.cu, rope.cu, elementwise.cu, rows.cu, select.cu, finite.cu, draw.cu
// and vision.cu, by family. Products and attention are not among them: Matmul and Attention queue those.
#define UHD_QUEUE(Name) void queue(cudaStream_t stream, const ops::Name& op);
UHD_OPERATIONS(UHD_QUEUE)
#undef UHD_QUEUE

// attention_packed.cu. _rows: one warp per row and head, any type. _tiles: tensor cores, bf16, for what
// Attention (attention.h) has looked at.
void packed_attention_rows(cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                           Tensor kv_offsets, float scale);
void packed_attention_tiles(cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                            Tensor kv_offsets, int max_q, float scale);
// attention_paged.cu. Keys of decoding sequences are attended in `splits` parts; with several, partials has
// room for S·Hk·splits results (attention_plan.h).
void paged_attention_rows(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                          float scale);
void paged_attention_tiles(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                           float scale, int splits, float* partials);
// The part of it that decodes, sequences of up to kSplitRows rows.
void paged_attention_splits(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                            float scale, int splits, float* partials);
// attention_flashinfer.cu, or no_flashinfer.cc where it is not built. bf16, heads of 64 or 128, `out` dense;
// without `decodes`, sequences of up to kSplitRows rows are left to paged_attention_splits. plan has room for
// the step's plan (attention_plan.h), used in the stream's order.
bool has_flashinfer();
void paged_attention_flashinfer(cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                const PagedSpans& spans, float scale, bool decodes, void* plan);
}  // namespace uhd::cuda
