// One check of shapes and dtypes per operation of Backend, called first by every backend: a broken contract
// is the same Error everywhere. Values of index tensors live on the device and are not looked at.
#pragma once

#include <span>

#include "kernels/backend.h"

namespace uhd::contracts {

void upload(Tensor device, Tensor host);
void download(Tensor host, Tensor device);
void pack(Tensor host, Tensor whole);
void matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options);
void embed(Tensor out, Tensor table, Tensor ids, int64_t first_id);
void rms_norm(Tensor out, Tensor x, Tensor w);
void add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out);
void layer_norm(Tensor out, Tensor x, Tensor w, Tensor b);
void rope(Tensor q, Tensor k, Tensor positions, Tensor table);
void store_kv(const KvLayer& pages, Tensor k, Tensor v, Tensor slots);
void paged_attention(Tensor out, Tensor q, const KvLayer& pages, const PagedSpans& spans);
void packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets);
void silu_mul(Tensor out, Tensor gate_up);
void add(Tensor out, Tensor a, Tensor b);
void add_rows(Tensor x, Tensor rows, Tensor index);
void gather_rows(Tensor out, Tensor x, Tensor index);
void scatter_rows(Tensor x, Tensor rows, Tensor index);
void patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch);
void interpolate_positions(Tensor out, Tensor table, int h, int w);
void region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids);
void argmax(Tensor ids, Tensor values, Tensor logits);
void best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width, int64_t vocabulary);
void draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws);
void take_drawn(Tensor ids, Tensor drawn, Tensor at);
void cast(Tensor out, Tensor x);
void finite_rows(Tensor flags, Tensor x);
void copy_pages(const KvLayer& pages, Tensor from, Tensor to);

}  // namespace uhd::contracts
