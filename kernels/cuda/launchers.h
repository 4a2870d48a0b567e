// The launchers of the kernel files: one operation each, queued on the stream. Shapes and types are those of
// kernels/backend.h and were checked by the caller (kernels/contracts.h); no elements is no launch.
#pragma once

#include <cuda_runtime.h>

#include "kernels/backend.h"

namespace uhd::cuda {

// norm.cu
void rms_norm(cudaStream_t stream, Tensor out, Tensor x, Tensor w, float eps);
void add_rms_norm(cudaStream_t stream, Tensor residual, Tensor x, Tensor w, Tensor out, float eps);
void layer_norm(cudaStream_t stream, Tensor out, Tensor x, Tensor w, Tensor b, float eps);
// rope.cu
void rope(cudaStream_t stream, Tensor q, Tensor k, Tensor positions, Tensor table);
// elementwise.cu
void silu_mul(cudaStream_t stream, Tensor out, Tensor gate_up);
void add(cudaStream_t stream, Tensor out, Tensor a, Tensor b);
void add_rows(cudaStream_t stream, Tensor x, Tensor rows, Tensor index);
void cast(cudaStream_t stream, Tensor out, Tensor x);
// rows.cu
void embed(cudaStream_t stream, Tensor out, Tensor table, Tensor ids, int64_t first_id);
void gather_rows(cudaStream_t stream, Tensor out, Tensor x, Tensor index);
void scatter_rows(cudaStream_t stream, Tensor x, Tensor rows, Tensor index);
void store_kv(cudaStream_t stream, KvLayer pages, Tensor k, Tensor v, Tensor slots);
void copy_pages(cudaStream_t stream, KvLayer pages, Tensor from, Tensor to);
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
// select.cu
void argmax(cudaStream_t stream, Tensor ids, Tensor values, Tensor logits);
void best_of_shards(cudaStream_t stream, Tensor ids, Tensor part_ids, Tensor values, int64_t width,
                    int64_t vocabulary);
void take_drawn(cudaStream_t stream, Tensor ids, Tensor drawn, Tensor at);
// finite.cu
void finite_rows(cudaStream_t stream, Tensor flags, Tensor x);
// draw.cu
void draw(cudaStream_t stream, Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws);
// vision.cu
void patchify(cudaStream_t stream, Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
              const PatchNormalisation& normalisation);
void interpolate_positions(cudaStream_t stream, Tensor out, Tensor table, int h, int w);
void region_align(cudaStream_t stream, Tensor out, Tensor x, std::span<const AlignGrid> grids);

}  // namespace uhd::cuda
