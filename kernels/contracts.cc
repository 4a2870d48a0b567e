#include "kernels/contracts.h"

#include <sstream>

#include "kernels/draw.h"
#include "kernels/operations.h"

namespace uhd {
namespace {

std::string describe(const Tensor& t) {
  std::ostringstream text;
  text << name_of(t.dtype()) << " [";
  for (int i = 0; i < t.rank(); ++i) text << (i == 0 ? "" : ",") << t.dim(i);
  text << "]";
  return text.str();
}

// `condition` about tensor t in the words of the contract.
void expect(bool condition, const char* operation, const char* contract, const Tensor& t) {
  if (!condition) [[unlikely]]
    throw Error(message(operation, ": ", contract, ", not ", describe(t)));
}

bool is_float(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

// A tensor that owns no memory may only have no elements; spaced rows must not overlap.
void expect_memory(const char* operation, std::initializer_list<Tensor> tensors) {
  for (const Tensor& t : tensors) {
    expect(!t.empty() || t.elements() == 0, operation, "a tensor needs memory", t);
    expect(t.rows() <= 1 || t.row_stride() >= t.row_size(), operation, "rows must not overlap", t);
  }
}

bool is_activation(DType t) { return t == DType::f32 || t == DType::bf16; }

void expect_matrix(const char* operation, const Tensor& t) {
  expect(is_activation(t.dtype()) && t.rank() == 2, operation, "activations are f32 or bf16 matrices", t);
}

void expect_heads(const char* operation, const Tensor& t) {
  expect(is_activation(t.dtype()) && t.rank() == 3, operation, "heads are f32 or bf16 [T,heads,D]", t);
}

void expect_one_type(const char* operation, std::initializer_list<Tensor> tensors) {
  for (const Tensor& t : tensors)
    expect(t.dtype() == tensors.begin()->dtype(), operation, "activations are of one type", t);
}

void expect_index(const char* operation, const Tensor& t, int64_t count) {
  expect(t.dtype() == DType::i32 && t.rank() == 1 && t.dim(0) == count && t.dense(), operation,
         "an index is dense i32 with one entry a row", t);
}

void expect_vector(const char* operation, const Tensor& t, int64_t count) {
  expect(t.dtype() == DType::f32 && t.elements() == count && t.dense(), operation,
         "a parameter is dense f32 with one entry a column", t);
}

void expect_same_shape(const char* operation, const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) [[unlikely]]
    throw Error(message(operation, ": shapes must be equal, not ", describe(a), " and ", describe(b)));
}

void expect_pages(const char* operation, const KvLayer& pages) {
  expect(pages.k.rank() == 4 && is_float(pages.k.dtype()) && pages.k.dtype() != DType::f16 &&
             pages.k.row_stride() >= pages.k.row_size(),
         operation, "K pages are f32 or bf16 [pages,page,Hk,D]", pages.k);
  expect(pages.v.row_stride() == pages.k.row_stride() && pages.v.dtype() == pages.k.dtype(), operation,
         "V pages are like K pages", pages.v);
  expect_same_shape(operation, pages.k, pages.v);
}

void expect_offsets(const char* operation, const Tensor& t) {
  expect(t.dtype() == DType::i32 && t.rank() == 1 && t.dim(0) >= 1 && t.dense(), operation,
         "offsets are dense i32 [S+1]", t);
}

void expect_copy(const char* operation, const Tensor& a, const Tensor& b) {
  expect_memory(operation, {a, b});
  expect(a.dense() && a.dtype() == b.dtype(), operation, "both sides are dense and of one dtype", a);
  expect(b.dense(), operation, "both sides are dense and of one dtype", b);
  expect_same_shape(operation, a, b);
}

}  // namespace

namespace contracts {

void upload(Tensor device, Tensor host) { expect_copy("upload", device, host); }

void download(Tensor host, Tensor device) { expect_copy("download", host, device); }

void pack(Tensor host, Tensor whole) {
  expect_memory("pack", {host});
  expect(host.rank() == 2 && is_float(host.dtype()), "pack", "a weight is a float matrix", host);
  expect(host.dim(0) >= 1 && host.dim(1) >= 1, "pack", "a weight has elements", host);
  if (whole.empty()) return;
  expect_memory("pack", {whole});
  expect(whole.rank() == 2 && whole.dtype() == host.dtype() && whole.dim(0) == host.dim(0), "pack",
         "the whole of a shard has its rows and type", whole);
}

void pack_parts(std::span<const Tensor> parts, int64_t rows) {
  check(!parts.empty(), "pack_parts: a weight has parts");
  int64_t in_parts = 0;
  for (const Tensor& part : parts) {
    if (part.rank() != 2 || part.dim(0) != 0) pack(part, {});  // a part may have no rows
    expect(part.dim(1) == parts.front().dim(1), "pack_parts", "parts have one width", part);
    in_parts += part.dim(0);
  }
  check(rows >= 1 && in_parts <= rows, "pack_parts: ", in_parts, " rows in parts of a weight of ", rows);
}

}  // namespace contracts

namespace ops {

void Matmul::verify() const {
  expect_memory("matmul", {out, x});
  expect_matrix("matmul", out);
  expect_matrix("matmul", x);
  expect(out.dtype() == x.dtype() || out.dtype() == DType::f32, "matmul", "out is f32 or of the type of x",
         out);
  check(static_cast<bool>(w.data), "matmul: the weight is not packed");
  check(!is_quantized(w.format) || w.scales, "matmul: the weight has no scales");
  expect(x.dim(1) == w.k, "matmul", "x has as many columns as the weight has inputs", x);
  expect(out.dim(1) == w.n, "matmul", "out has as many columns as the weight has outputs", out);
  expect(out.dim(0) == x.dim(0), "matmul", "out has the rows of x", out);
  if (!options.bias.empty()) expect_vector("matmul", options.bias, w.n);
}

void Embed::verify() const {
  expect_memory("embed", {out, table, ids});
  expect_matrix("embed", out);
  expect(table.rank() == 2 && is_float(table.dtype()), "embed", "the table is a float matrix", table);
  expect(out.dim(1) == table.dim(1), "embed", "out is as wide as the table", out);
  expect_index("embed", ids, out.dim(0));
  check(first_id >= 0, "embed: first_id is ", first_id);
}

void RmsNorm::verify() const {
  expect_memory("rms_norm", {out, x, w});
  expect_matrix("rms_norm", out);
  expect_matrix("rms_norm", x);
  expect_one_type("rms_norm", {out, x});
  expect_same_shape("rms_norm", out, x);
  expect_vector("rms_norm", w, x.dim(1));
}

void AddRmsNorm::verify() const {
  expect_memory("add_rms_norm", {residual, x, w, out});
  expect_one_type("add_rms_norm", {residual, x, out});
  for (const Tensor& t : {residual, x, out}) {
    expect_matrix("add_rms_norm", t);
    expect_same_shape("add_rms_norm", t, residual);
  }
  expect_vector("add_rms_norm", w, x.dim(1));
}

void LayerNorm::verify() const {
  expect_memory("layer_norm", {out, x, w, b});
  expect_matrix("layer_norm", out);
  expect_matrix("layer_norm", x);
  expect_one_type("layer_norm", {out, x});
  expect_same_shape("layer_norm", out, x);
  expect_vector("layer_norm", w, x.dim(1));
  expect_vector("layer_norm", b, x.dim(1));
}

void HeadNorm::verify() const {
  expect_memory("head_norm", {q, k, q_w, k_w});
  expect_heads("head_norm", q);
  expect_heads("head_norm", k);
  expect_one_type("head_norm", {q, k});
  expect(k.dim(0) == q.dim(0) && k.dim(2) == q.dim(2), "head_norm", "k has the rows and head size of q", k);
  expect_vector("head_norm", q_w, q.dim(2));
  expect_vector("head_norm", k_w, q.dim(2));
}

void Rope::verify() const {
  expect_memory("rope", {q, k, positions, table});
  expect_heads("rope", q);
  expect_heads("rope", k);
  expect_one_type("rope", {q, k});
  expect(q.dim(2) % 2 == 0, "rope", "the head size is even", q);
  expect(k.dim(0) == q.dim(0) && k.dim(2) == q.dim(2), "rope", "k has the rows and head size of q", k);
  expect_index("rope", positions, q.dim(0));
  expect(
      table.dtype() == DType::f32 && table.rank() == 3 && table.dim(1) == 2 && table.dim(2) * 2 == q.dim(2),
      "rope", "the table is f32 [positions,2,D/2]", table);
}

void StoreKv::verify() const {
  expect_memory("store_kv", {pages.k, pages.v, k, v, slots});
  expect_pages("store_kv", pages);
  expect_heads("store_kv", k);
  expect_heads("store_kv", v);
  expect_one_type("store_kv", {k, v});
  expect_same_shape("store_kv", k, v);
  expect(k.dim(1) == pages.k.dim(2) && k.dim(2) == pages.k.dim(3), "store_kv", "k has the heads of the pages",
         k);
  expect_index("store_kv", slots, k.dim(0));
}

void PagedAttention::verify() const {
  constexpr const char* kName = "paged_attention";
  expect_memory(kName, {out, q, pages.k, pages.v, spans.q_offsets, spans.kv_lengths, spans.page_table});
  expect_pages(kName, pages);
  expect_heads(kName, q);
  expect_heads(kName, out);
  expect_one_type(kName, {out, q});
  expect_same_shape(kName, out, q);
  expect(q.dim(2) == pages.k.dim(3), kName, "q has the head size of the pages", q);
  expect(pages.k.dim(2) >= 1 && q.dim(1) % pages.k.dim(2) == 0, kName,
         "query heads are a multiple of the pages' heads", q);
  expect_offsets(kName, spans.q_offsets);
  const int64_t sequences = spans.q_offsets.dim(0) - 1;
  expect_index(kName, spans.kv_lengths, sequences);
  expect(spans.page_table.dtype() == DType::i32 && spans.page_table.rank() == 2 &&
             spans.page_table.dim(0) == sequences,
         kName, "the page table is i32 [S,max pages]", spans.page_table);
  expect(spans.max_kv >= 0 && spans.max_kv <= spans.page_table.dim(1) * pages.k.dim(1), kName,
         "the page table covers max_kv tokens", spans.page_table);
}

void PackedAttention::verify() const {
  constexpr const char* kName = "packed_attention";
  expect_memory(kName, {out, q, k, v, q_offsets, kv_offsets});
  for (const Tensor& t : {out, q, k, v}) expect_heads(kName, t);
  expect_one_type(kName, {out, q, k, v});
  expect_same_shape(kName, out, q);
  expect_same_shape(kName, k, v);
  expect(k.dim(1) == q.dim(1) && k.dim(2) == q.dim(2), kName, "k has the heads of q", k);
  expect_offsets(kName, q_offsets);
  expect_offsets(kName, kv_offsets);
  expect_same_shape(kName, q_offsets, kv_offsets);
}

void SiluMul::verify() const {
  expect_memory("silu_mul", {out, gate_up});
  expect_matrix("silu_mul", out);
  expect_matrix("silu_mul", gate_up);
  expect_one_type("silu_mul", {out, gate_up});
  expect(gate_up.dim(0) == out.dim(0) && gate_up.dim(1) == 2 * out.dim(1), "silu_mul",
         "gate_up is [T,2I] where out is [T,I]", gate_up);
}

void Add::verify() const {
  expect_memory("add", {out, a, b});
  for (const Tensor& t : {out, a, b}) expect_matrix("add", t);
  expect_one_type("add", {out, a, b});
  expect_same_shape("add", out, a);
  expect(b.dim(1) == a.dim(1) && (b.dim(0) == a.dim(0) || b.dim(0) == 1), "add",
         "b has one row or those of a", b);
}

void AddRows::verify() const {
  expect_memory("add_rows", {x, rows, index});
  expect_matrix("add_rows", x);
  expect_matrix("add_rows", rows);
  expect_one_type("add_rows", {x, rows});
  expect(rows.dim(1) == x.dim(1), "add_rows", "rows are as wide as x", rows);
  expect_index("add_rows", index, x.dim(0));
}

void GatherRows::verify() const {
  expect_memory("gather_rows", {out, x, index});
  expect_matrix("gather_rows", out);
  expect_matrix("gather_rows", x);
  expect_one_type("gather_rows", {out, x});
  expect(out.dim(1) == x.dim(1), "gather_rows", "out is as wide as x", out);
  expect_index("gather_rows", index, out.dim(0));
}

void ScatterRows::verify() const {
  expect_memory("scatter_rows", {x, rows, index});
  expect_matrix("scatter_rows", x);
  expect_matrix("scatter_rows", rows);
  expect_one_type("scatter_rows", {x, rows});
  expect(rows.dim(1) == x.dim(1), "scatter_rows", "rows are as wide as x", rows);
  expect_index("scatter_rows", index, rows.dim(0));
}

void Patchify::verify() const {
  expect_memory("patchify", {out, pixels});
  expect_matrix("patchify", out);
  check(patch >= 1, "patchify: the patch size is ", patch);
  expect(pixels.dtype() == DType::u8 && pixels.rank() == 1, "patchify", "pixels are one u8 buffer", pixels);
  expect(out.dim(1) == int64_t{3} * patch * patch, "patchify", "a patch is a row of 3·patch·patch", out);
  int64_t patches = 0;
  for (const PixelSlice& s : slices) {
    check(s.width >= 1 && s.height >= 1 && s.width % patch == 0 && s.height % patch == 0,
          "patchify: a slice of ", s.width, "x", s.height, " is not made of patches of ", patch);
    const int64_t bytes = int64_t{3} * s.width * s.height;
    check(s.offset >= 0 && bytes <= pixels.dim(0) && s.offset <= pixels.dim(0) - bytes,
          "patchify: a slice lies outside the pixels");
    patches += int64_t{s.width / patch} * (s.height / patch);
  }
  expect(patches == out.dim(0), "patchify", "out has a row for each patch", out);
}

void InterpolatePositions::verify() const {
  expect_memory("interpolate_positions", {out, table});
  expect_matrix("interpolate_positions", out);
  expect_matrix("interpolate_positions", table);
  expect_one_type("interpolate_positions", {out, table});
  int64_t side = 0;
  while (side * side < table.dim(0)) ++side;
  expect(side * side == table.dim(0) && side >= 1, "interpolate_positions", "the table is square", table);
  check(h >= 1 && w >= 1, "interpolate_positions: a grid of ", h, "x", w);
  expect(out.dim(0) == int64_t{h} * w && out.dim(1) == table.dim(1), "interpolate_positions",
         "out has a row for each cell of the grid", out);
}

void RegionAlign::verify() const {
  expect_memory("region_align", {out, x});
  expect_matrix("region_align", out);
  expect_matrix("region_align", x);
  expect_one_type("region_align", {out, x});
  expect(out.dim(1) == x.dim(1), "region_align", "out is as wide as x", out);
  for (const AlignGrid& g : grids) {
    check(g.rows >= 1 && g.columns >= 1 && g.window_rows >= 1 && g.window_columns >= 1 && g.bin_rows >= 1 &&
              g.bin_columns >= 1,
          "region_align: sizes are at least 1");
    const int64_t features = int64_t{g.rows} * g.columns;
    check(g.first_row >= 0 && features <= x.dim(0) && g.first_row <= x.dim(0) - features,
          "region_align: a grid lies outside x");
    const int64_t bins = int64_t{g.window_rows} * g.window_columns * g.bin_rows * g.bin_columns;
    check(g.first_out >= 0 && bins <= out.dim(0) && g.first_out <= out.dim(0) - bins,
          "region_align: a grid's bins lie outside out");
  }
}

void Argmax::verify() const {
  expect_memory("argmax", {ids, values, logits});
  expect_matrix("argmax", logits);
  expect(logits.dim(1) >= 1, "argmax", "a row has at least one logit", logits);
  expect_index("argmax", ids, logits.dim(0));
  expect_vector("argmax", values, logits.dim(0));
}

void BestOfShards::verify() const {
  constexpr const char* kName = "best_of_shards";
  expect_memory(kName, {ids, part_ids, values});
  expect(part_ids.dtype() == DType::i32 && part_ids.rank() == 2 && part_ids.dense(), kName,
         "ids of shards are dense i32 [R,S]", part_ids);
  expect(values.dtype() == DType::f32 && values.dense(), kName, "values are dense f32", values);
  expect_same_shape(kName, part_ids, values);
  expect_index(kName, ids, part_ids.dim(1));
  check(width > 0 && vocabulary > 0, kName, ": shards of ", width, " ids of a vocabulary of ", vocabulary);
}

void MaskLogits::verify() const {
  constexpr const char* kName = "mask_logits";
  expect_memory(kName, {logits, rows, masks});
  expect(logits.dtype() == DType::f32 && logits.rank() == 2, kName, "logits are f32 [S,W]", logits);
  expect(masks.dtype() == DType::i32 && masks.rank() == 2 && masks.dense(), kName,
         "masks are dense i32 [M,words]", masks);
  expect_index(kName, rows, masks.dim(0));
  check(first_id >= 0, kName, ": the first id is ", first_id);
}

void Draw::verify() const {
  expect_memory("draw", {ids, logits, draws});
  expect(logits.dtype() == DType::f32 && logits.rank() == 3 && logits.dense(), "draw",
         "logits are dense f32 [R,S,W]", logits);
  const int64_t rows = logits.dim(1), ids_held = logits.dim(0) * logits.dim(2);
  expect_index("draw", ids, rows);
  expect(draws.dtype() == DType::i32 && draws.rank() == 2 && draws.dense() && draws.dim(0) == rows &&
             draws.dim(1) == kDrawWords && reinterpret_cast<uintptr_t>(draws.raw()) % alignof(uhd::Draw) == 0,
         "draw", "there is one aligned Draw a row", draws);
  // A weight is at most 2^44: so many of them can be added.
  check(vocabulary >= 1 && vocabulary <= ids_held && vocabulary < int64_t{1} << 19, "draw: a vocabulary of ",
        vocabulary, " among ", ids_held, " logits a row");
}

void TakeDrawn::verify() const {
  expect_memory("take_drawn", {ids, drawn, at});
  expect_index("take_drawn", ids, ids.rows());
  expect_index("take_drawn", at, ids.rows());
  expect_index("take_drawn", drawn, drawn.rows());
}

void Cast::verify() const {
  expect_memory("cast", {out, x});
  expect(is_float(out.dtype()), "cast", "casts are between floats", out);
  expect(is_float(x.dtype()), "cast", "casts are between floats", x);
  expect_same_shape("cast", out, x);
}

void FiniteRows::verify() const {
  expect_memory("finite_rows", {flags, x});
  expect_matrix("finite_rows", x);
  expect_index("finite_rows", flags, x.rows());
}

void CopyPages::verify() const {
  expect_memory("copy_pages", {pages.k, pages.v, from, to});
  expect_pages("copy_pages", pages);
  expect(from.rank() == 1, "copy_pages", "an index is dense i32 with one entry a row", from);
  expect_index("copy_pages", from, from.dim(0));
  expect_index("copy_pages", to, from.dim(0));
}

}  // namespace ops
}  // namespace uhd
