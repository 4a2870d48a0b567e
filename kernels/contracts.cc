#include "kernels/contracts.h"
#include "kernels/draw.h"

#include <sstream>

namespace uhd::contracts {
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
void present(const char* operation, std::initializer_list<Tensor> tensors) {
  for (const Tensor& t : tensors) {
    expect(!t.empty() || t.elements() == 0, operation, "a tensor needs memory", t);
    expect(t.rows() <= 1 || t.row_stride() >= t.row_size(), operation, "rows must not overlap", t);
  }
}

bool is_activation(DType t) { return t == DType::f32 || t == DType::bf16; }

void matrix(const char* operation, const Tensor& t) {
  expect(is_activation(t.dtype()) && t.rank() == 2, operation, "activations are f32 or bf16 matrices", t);
}

void heads(const char* operation, const Tensor& t) {
  expect(is_activation(t.dtype()) && t.rank() == 3, operation, "heads are f32 or bf16 [T,heads,D]", t);
}

void one_type(const char* operation, std::initializer_list<Tensor> tensors) {
  for (const Tensor& t : tensors)
    expect(t.dtype() == tensors.begin()->dtype(), operation, "activations are of one type", t);
}

void index(const char* operation, const Tensor& t, int64_t count) {
  expect(t.dtype() == DType::i32 && t.rank() == 1 && t.dim(0) == count && t.dense(), operation,
         "an index is dense i32 with one entry a row", t);
}

void vector(const char* operation, const Tensor& t, int64_t count) {
  expect(t.dtype() == DType::f32 && t.elements() == count && t.dense(), operation,
         "a parameter is dense f32 with one entry a column", t);
}

void same(const char* operation, const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) [[unlikely]]
    throw Error(message(operation, ": shapes must be equal, not ", describe(a), " and ", describe(b)));
}

void kv_layer(const char* operation, const KvLayer& pages) {
  expect(pages.k.rank() == 4 && is_float(pages.k.dtype()) && pages.k.dtype() != DType::f16 && pages.k.dense(),
         operation, "K pages are dense f32 or bf16 [pages,page,Hk,D]", pages.k);
  expect(pages.v.dense() && pages.v.dtype() == pages.k.dtype(), operation, "V pages are like K pages",
         pages.v);
  same(operation, pages.k, pages.v);
}

void offsets(const char* operation, const Tensor& t) {
  expect(t.dtype() == DType::i32 && t.rank() == 1 && t.dim(0) >= 1 && t.dense(), operation,
         "offsets are dense i32 [S+1]", t);
}

void copy(const char* operation, const Tensor& a, const Tensor& b) {
  present(operation, {a, b});
  expect(a.dense() && a.dtype() == b.dtype(), operation, "both sides are dense and of one dtype", a);
  expect(b.dense(), operation, "both sides are dense and of one dtype", b);
  same(operation, a, b);
}

}  // namespace

void upload(Tensor device, Tensor host) { copy("upload", device, host); }

void download(Tensor host, Tensor device) { copy("download", host, device); }

void pack(Tensor host, Tensor whole) {
  present("pack", {host});
  expect(host.rank() == 2 && is_float(host.dtype()), "pack", "a weight is a float matrix", host);
  expect(host.dim(0) >= 1 && host.dim(1) >= 1, "pack", "a weight has elements", host);
  if (whole.empty()) return;
  present("pack", {whole});
  expect(whole.rank() == 2 && whole.dtype() == host.dtype() && whole.dim(0) == host.dim(0), "pack",
         "the whole of a shard has its rows and type", whole);
}

void matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  present("matmul", {out, x});
  matrix("matmul", out);
  matrix("matmul", x);
  expect(out.dtype() == x.dtype() || out.dtype() == DType::f32, "matmul", "out is f32 or of the type of x",
         out);
  check(static_cast<bool>(w.data), "matmul: the weight is not packed");
  check(!is_quantized(w.format) || w.scales, "matmul: the weight has no scales");
  expect(x.dim(1) == w.k, "matmul", "x has as many columns as the weight has inputs", x);
  expect(out.dim(1) == w.n, "matmul", "out has as many columns as the weight has outputs", out);
  expect(out.dim(0) == x.dim(0), "matmul", "out has the rows of x", out);
  if (!options.bias.empty()) vector("matmul", options.bias, w.n);
}

void embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) {
  present("embed", {out, table, ids});
  matrix("embed", out);
  expect(table.rank() == 2 && is_float(table.dtype()), "embed", "the table is a float matrix", table);
  expect(out.dim(1) == table.dim(1), "embed", "out is as wide as the table", out);
  index("embed", ids, out.dim(0));
  check(first_id >= 0, "embed: first_id is ", first_id);
}

void rms_norm(Tensor out, Tensor x, Tensor w) {
  present("rms_norm", {out, x, w});
  matrix("rms_norm", out);
  matrix("rms_norm", x);
  one_type("rms_norm", {out, x});
  same("rms_norm", out, x);
  vector("rms_norm", w, x.dim(1));
}

void add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out) {
  present("add_rms_norm", {residual, x, w, out});
  one_type("add_rms_norm", {residual, x, out});
  for (const Tensor& t : {residual, x, out}) {
    matrix("add_rms_norm", t);
    same("add_rms_norm", t, residual);
  }
  vector("add_rms_norm", w, x.dim(1));
}

void layer_norm(Tensor out, Tensor x, Tensor w, Tensor b) {
  present("layer_norm", {out, x, w, b});
  matrix("layer_norm", out);
  matrix("layer_norm", x);
  one_type("layer_norm", {out, x});
  same("layer_norm", out, x);
  vector("layer_norm", w, x.dim(1));
  vector("layer_norm", b, x.dim(1));
}

void rope(Tensor q, Tensor k, Tensor positions, Tensor table) {
  present("rope", {q, k, positions, table});
  heads("rope", q);
  heads("rope", k);
  one_type("rope", {q, k});
  expect(q.dim(2) % 2 == 0, "rope", "the head size is even", q);
  expect(k.dim(0) == q.dim(0) && k.dim(2) == q.dim(2), "rope", "k has the rows and head size of q", k);
  index("rope", positions, q.dim(0));
  expect(
      table.dtype() == DType::f32 && table.rank() == 3 && table.dim(1) == 2 && table.dim(2) * 2 == q.dim(2),
      "rope", "the table is f32 [positions,2,D/2]", table);
}

void store_kv(const KvLayer& pages, Tensor k, Tensor v, Tensor slots) {
  present("store_kv", {pages.k, pages.v, k, v, slots});
  kv_layer("store_kv", pages);
  heads("store_kv", k);
  heads("store_kv", v);
  one_type("store_kv", {k, v});
  same("store_kv", k, v);
  expect(k.dim(1) == pages.k.dim(2) && k.dim(2) == pages.k.dim(3), "store_kv", "k has the heads of the pages",
         k);
  index("store_kv", slots, k.dim(0));
}

void paged_attention(Tensor out, Tensor q, const KvLayer& pages, const PagedSpans& spans) {
  constexpr const char* kName = "paged_attention";
  present(kName, {out, q, pages.k, pages.v, spans.q_offsets, spans.kv_lengths, spans.page_table});
  kv_layer(kName, pages);
  heads(kName, q);
  heads(kName, out);
  one_type(kName, {out, q});
  same(kName, out, q);
  expect(q.dim(2) == pages.k.dim(3), kName, "q has the head size of the pages", q);
  expect(pages.k.dim(2) >= 1 && q.dim(1) % pages.k.dim(2) == 0, kName,
         "query heads are a multiple of the pages' heads", q);
  offsets(kName, spans.q_offsets);
  const int64_t sequences = spans.q_offsets.dim(0) - 1;
  index(kName, spans.kv_lengths, sequences);
  expect(spans.page_table.dtype() == DType::i32 && spans.page_table.rank() == 2 &&
             spans.page_table.dim(0) == sequences,
         kName, "the page table is i32 [S,max pages]", spans.page_table);
  expect(spans.max_kv >= 0 && spans.max_kv <= spans.page_table.dim(1) * pages.k.dim(1), kName,
         "the page table covers max_kv tokens", spans.page_table);
}

void packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets) {
  constexpr const char* kName = "packed_attention";
  present(kName, {out, q, k, v, q_offsets, kv_offsets});
  for (const Tensor& t : {out, q, k, v}) heads(kName, t);
  one_type(kName, {out, q, k, v});
  same(kName, out, q);
  same(kName, k, v);
  expect(k.dim(1) == q.dim(1) && k.dim(2) == q.dim(2), kName, "k has the heads of q", k);
  offsets(kName, q_offsets);
  offsets(kName, kv_offsets);
  same(kName, q_offsets, kv_offsets);
}

void silu_mul(Tensor out, Tensor gate_up) {
  present("silu_mul", {out, gate_up});
  matrix("silu_mul", out);
  matrix("silu_mul", gate_up);
  one_type("silu_mul", {out, gate_up});
  expect(gate_up.dim(0) == out.dim(0) && gate_up.dim(1) == 2 * out.dim(1), "silu_mul",
         "gate_up is [T,2I] where out is [T,I]", gate_up);
}

void add(Tensor out, Tensor a, Tensor b) {
  present("add", {out, a, b});
  for (const Tensor& t : {out, a, b}) matrix("add", t);
  one_type("add", {out, a, b});
  same("add", out, a);
  expect(b.dim(1) == a.dim(1) && (b.dim(0) == a.dim(0) || b.dim(0) == 1), "add",
         "b has one row or those of a", b);
}

void add_rows(Tensor x, Tensor rows, Tensor at) {
  present("add_rows", {x, rows, at});
  matrix("add_rows", x);
  matrix("add_rows", rows);
  one_type("add_rows", {x, rows});
  expect(rows.dim(1) == x.dim(1), "add_rows", "rows are as wide as x", rows);
  index("add_rows", at, x.dim(0));
}

void gather_rows(Tensor out, Tensor x, Tensor at) {
  present("gather_rows", {out, x, at});
  matrix("gather_rows", out);
  matrix("gather_rows", x);
  one_type("gather_rows", {out, x});
  expect(out.dim(1) == x.dim(1), "gather_rows", "out is as wide as x", out);
  index("gather_rows", at, out.dim(0));
}

void scatter_rows(Tensor x, Tensor rows, Tensor at) {
  present("scatter_rows", {x, rows, at});
  matrix("scatter_rows", x);
  matrix("scatter_rows", rows);
  one_type("scatter_rows", {x, rows});
  expect(rows.dim(1) == x.dim(1), "scatter_rows", "rows are as wide as x", rows);
  index("scatter_rows", at, rows.dim(0));
}

void patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch) {
  present("patchify", {out, pixels});
  matrix("patchify", out);
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

void interpolate_positions(Tensor out, Tensor table, int h, int w) {
  present("interpolate_positions", {out, table});
  matrix("interpolate_positions", out);
  matrix("interpolate_positions", table);
  one_type("interpolate_positions", {out, table});
  int64_t side = 0;
  while (side * side < table.dim(0)) ++side;
  expect(side * side == table.dim(0) && side >= 1, "interpolate_positions", "the table is square", table);
  check(h >= 1 && w >= 1, "interpolate_positions: a grid of ", h, "x", w);
  expect(out.dim(0) == int64_t{h} * w && out.dim(1) == table.dim(1), "interpolate_positions",
         "out has a row for each cell of the grid", out);
}

void region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) {
  present("region_align", {out, x});
  matrix("region_align", out);
  matrix("region_align", x);
  one_type("region_align", {out, x});
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

void argmax(Tensor ids, Tensor values, Tensor logits) {
  present("argmax", {ids, values, logits});
  matrix("argmax", logits);
  expect(logits.dim(1) >= 1, "argmax", "a row has at least one logit", logits);
  index("argmax", ids, logits.dim(0));
  vector("argmax", values, logits.dim(0));
}

void best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width, int64_t vocabulary) {
  constexpr const char* kName = "best_of_shards";
  present(kName, {ids, part_ids, values});
  expect(part_ids.dtype() == DType::i32 && part_ids.rank() == 2 && part_ids.dense(), kName,
         "ids of shards are dense i32 [R,S]", part_ids);
  expect(values.dtype() == DType::f32 && values.dense(), kName, "values are dense f32", values);
  same(kName, part_ids, values);
  index(kName, ids, part_ids.dim(1));
  check(width > 0 && vocabulary > 0, kName, ": shards of ", width, " ids of a vocabulary of ", vocabulary);
}

void draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) {
  present("draw", {ids, logits, draws});
  expect(logits.dtype() == DType::f32 && logits.rank() == 3 && logits.dense(), "draw",
         "logits are dense f32 [R,S,W]", logits);
  const int64_t rows = logits.dim(1), ids_held = logits.dim(0) * logits.dim(2);
  index("draw", ids, rows);
  expect(draws.dtype() == DType::i32 && draws.rank() == 2 && draws.dense() && draws.dim(0) == rows &&
             draws.dim(1) == kDrawWords && reinterpret_cast<uintptr_t>(draws.raw()) % alignof(Draw) == 0,
         "draw", "there is one aligned Draw a row", draws);
  // A weight is at most 2^44: so many of them can be added.
  check(vocabulary >= 1 && vocabulary <= ids_held && vocabulary < int64_t{1} << 19, "draw: a vocabulary of ",
        vocabulary, " among ", ids_held, " logits a row");
}

void take_drawn(Tensor ids, Tensor drawn, Tensor at) {
  present("take_drawn", {ids, drawn, at});
  index("take_drawn", ids, ids.rows());
  index("take_drawn", at, ids.rows());
  index("take_drawn", drawn, drawn.rows());
}

void cast(Tensor out, Tensor x) {
  present("cast", {out, x});
  expect(is_float(out.dtype()), "cast", "casts are between floats", out);
  expect(is_float(x.dtype()), "cast", "casts are between floats", x);
  same("cast", out, x);
}

void finite_rows(Tensor flags, Tensor x) {
  present("finite_rows", {flags, x});
  matrix("finite_rows", x);
  index("finite_rows", flags, x.rows());
}

void copy_pages(const KvLayer& pages, Tensor from, Tensor to) {
  present("copy_pages", {pages.k, pages.v, from, to});
  kv_layer("copy_pages", pages);
  expect(from.rank() == 1, "copy_pages", "an index is dense i32 with one entry a row", from);
  index("copy_pages", from, from.dim(0));
  index("copy_pages", to, from.dim(0));
}

}  // namespace uhd::contracts
