// The operations of the model family, each told once: its arguments with shapes, and how it is called.
//
// Letters: T tokens in the step, S sequences or segments, H hidden, Hq/Hk query/key heads on this rank, D
// head size, I MLP width on this rank, V vocabulary on this rank, N,K matrix sizes, P patches, Q queries.
// Outputs come first. Activations are f32 on the CPU, bf16 or f32 on CUDA: Backend::activation_dtype() says
// which, and one operation's activations are of one type. Index tensors are i32 in device memory
// (Workspace::put). Rows of activations may be spaced (Tensor::row_stride) unless a comment says dense.
//
// A new operation is a struct of its arguments here, with a line in UHD_OPERATIONS and a function in
// Operations; its contract in contracts.cc; and what each backend does for it. docs/architecture.md lists the
// files. Errors: a contract that the caller breaks is the same Error on every backend. An index outside its
// tensor is an Error at once on the CPU; a device finds it later (kernels/backend.h).
#pragma once

#include <array>
#include <span>

#include "kernels/epilogue.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace uhd {

struct MatmulOptions {
  Tensor bias{};  // f32 [N] or empty
  Epilogue epilogue = Epilogue::none;
};

// K and V of one layer: [pages, page, Hk, D] each; on the host pages may be spaced, both alike. The order of
// the elements inside a page is the backend's own affair (sizes are the same); only store_kv, paged_attention
// and copy_pages look inside. The pages' dtype, f32 or bf16, decides how paged_attention forms its products,
// as WeightFormat does for matmul.
struct KvLayer {
  Tensor k;
  Tensor v;
};

// The ragged rows of a step: sequence s owns query rows q_offsets[s] .. q_offsets[s+1], which are the last
// ones of its kv_lengths[s] tokens; token j of it lies in page page_table[s][j / page], at j % page. Causal.
struct PagedSpans {
  Tensor q_offsets;   // i32 [S+1]
  Tensor kv_lengths;  // i32 [S], including this step's tokens
  Tensor page_table;  // i32 [S, max pages]
  int max_q = 0;      // largest number of query rows of one sequence
  int max_kv = 0;     // at least the largest kv length; how the work is cut may depend on it
};

// u8 RGB slices, row-major HWC, one after another in one buffer.
struct PixelSlice {
  int64_t offset = 0;  // bytes into the buffer
  int width = 0;       // multiples of the patch size
  int height = 0;
};
struct PatchNormalisation {
  float mean[3];
  float deviation[3];
};

// One region of one slice's feature grid: RoIAlign(aligned = false, sampling ratio adaptive = ceil of the bin
// size) of the window (x0,y0,x1,y1), in feature units, into out_rows x out_columns bins.
struct AlignGrid {
  int64_t first_row = 0;  // row of the slice's first feature in x
  int rows = 0;           // feature grid
  int columns = 0;
  int64_t first_out = 0;  // first output row of this slice: windows row-major, bins row-major inside
  int window_rows = 12;   // the feature grid is cut into window_rows x window_columns equal windows
  int window_columns = 12;
  int bin_rows = 0;  // bins of a window
  int bin_columns = 0;
};

// The tensors of an operation, by what decides their type; null where there are no more.
struct OperationTensors {
  std::array<Tensor*, 4> activations{};  // Backend::activation_dtype() does
  std::array<Tensor*, 5> others{};       // the operation does, or whoever made them
};

// The arguments of each operation. tensors() points into the struct; verify() throws Error where the contract
// is broken (contracts.cc) and does not look at values in device memory.
namespace ops {

// [T,N] = [T,K]·[N,K]ᵀ + bias, then the epilogue. out may be f32 where x is bf16 (logits).
struct Matmul {
  Tensor out, x;
  const Weight& w;
  MatmulOptions options;
  OperationTensors tensors() { return {{&out, &x}, {&options.bias}}; }
  void verify() const;
};

// out [T,H] from table [V,H] (f32, bf16 or f16); ids outside [first_id, first_id + V) give zero rows.
struct Embed {
  Tensor out, table, ids;
  int64_t first_id;
  OperationTensors tensors() { return {{&out}, {&table, &ids}}; }
  void verify() const;
};

// out = x / rms(x) · w; w f32 [H].
struct RmsNorm {
  Tensor out, x, w;
  float eps;
  OperationTensors tensors() { return {{&out, &x}, {&w}}; }
  void verify() const;
};

// residual += x; out = rms_norm(residual).
struct AddRmsNorm {
  Tensor residual, x, w, out;
  float eps;
  OperationTensors tensors() { return {{&residual, &x, &out}, {&w}}; }
  void verify() const;
};

// out = (x − mean(x)) / deviation(x) · w + b; w, b f32 [H].
struct LayerNorm {
  Tensor out, x, w, b;
  float eps;
  OperationTensors tensors() { return {{&out, &x}, {&w, &b}}; }
  void verify() const;
};

// Each head of q [T,Hq,D] and k [T,Hk,D] in place: x / rms(x) · w over its D, as Qwen3 does before rope; q_w,
// k_w f32 [D].
struct HeadNorm {
  Tensor q, k, q_w, k_w;
  float eps;
  OperationTensors tensors() { return {{&q, &k}, {&q_w, &k_w}}; }
  void verify() const;
};

// Rotates pairs (i, i + D/2) of q [T,Hq,D] and k [T,Hk,D] in place; table f32 [positions, 2, D/2]: cosines,
// sines.
struct Rope {
  Tensor q, k, positions, table;
  OperationTensors tensors() { return {{&q, &k}, {&positions, &table}}; }
  void verify() const;
};

// k, v [T,Hk,D] into the pages; slots i32 [T] = page · page size + offset.
struct StoreKv {
  KvLayer pages;
  Tensor k, v, slots;
  OperationTensors tensors() { return {{&k, &v}, {&pages.k, &pages.v, &slots}}; }
  void verify() const;
};

// out, q [T,Hq,D]; prefill chunks and decode in one call.
struct PagedAttention {
  Tensor out, q;
  KvLayer pages;
  PagedSpans spans;
  float scale;
  OperationTensors tensors() {
    return {{&out, &q}, {&pages.k, &pages.v, &spans.q_offsets, &spans.kv_lengths, &spans.page_table}};
  }
  void verify() const;
};

// out, q [Tq,Hq,D], k, v [Tk,Hq,D]; segment s attends its own keys. out may lie where q does, on the host.
// Offsets i32 [S+1]; max_* as in PagedSpans. precise: products in f32 whatever BackendOptions::compute says;
// on a device, whose activations are of that type already, it changes nothing.
struct PackedAttention {
  Tensor out, q, k, v, q_offsets, kv_offsets;
  int max_q, max_kv;
  float scale;
  bool precise;
  OperationTensors tensors() { return {{&out, &q, &k, &v}, {&q_offsets, &kv_offsets}}; }
  void verify() const;
};

// out [T,I] = silu(g)·u from gate_up [T,2I] = [g | u].
struct SiluMul {
  Tensor out, gate_up;
  OperationTensors tensors() { return {{&out, &gate_up}, {}}; }
  void verify() const;
};

// out = a + b; b may have one row for all.
struct Add {
  Tensor out, a, b;
  OperationTensors tensors() { return {{&out, &a, &b}, {}}; }
  void verify() const;
};

// x[t] += rows[index[t]], index i32 [T]: position rows.
struct AddRows {
  Tensor x, rows, index;
  OperationTensors tensors() { return {{&x, &rows}, {&index}}; }
  void verify() const;
};

// out[i] = x[index[i]].
struct GatherRows {
  Tensor out, x, index;
  OperationTensors tensors() { return {{&out, &x}, {&index}}; }
  void verify() const;
};

// x[index[i]] = rows[i]; indices are distinct.
struct ScatterRows {
  Tensor x, rows, index;
  OperationTensors tensors() { return {{&x, &rows}, {&index}}; }
  void verify() const;
};

// out [P, 3·patch·patch]: (pixel/255 − mean)/deviation, patches row-major per slice, inside channel, row,
// column.
struct Patchify {
  Tensor out, pixels;
  std::span<const PixelSlice> slices;
  int patch;
  const PatchNormalisation& normalisation;
  OperationTensors tensors() { return {{&out}, {&pixels}}; }
  void verify() const;
};

// out [h·w, W] from a square table [g·g, W]: bicubic, align_corners off, no antialiasing, a = −0.75.
struct InterpolatePositions {
  Tensor out, table;
  int h, w;
  OperationTensors tensors() { return {{&out, &table}, {}}; }
  void verify() const;
};

// out [windows·bins, W] from x [P, W]: means of bilinear samples (kernels/bilinear.h).
struct RegionAlign {
  Tensor out, x;
  std::span<const AlignGrid> grids;
  OperationTensors tensors() { return {{&out, &x}, {}}; }
  void verify() const;
};

// ids i32 [S], values f32 [S]: the first largest logit of each row [S,V].
struct Argmax {
  Tensor ids, values, logits;
  OperationTensors tensors() { return {{&logits}, {&ids, &values}}; }
  void verify() const;
};

// ids i32 [S] from every shard's argmax, part_ids i32 and values f32 [R,S]: the largest value's id, the first
// of equals; shard r's ids begin at r · width, those from `vocabulary` on do not count. -1 where the largest
// value is not finite.
struct BestOfShards {
  Tensor ids, part_ids, values;
  int64_t width, vocabulary;
  OperationTensors tensors() { return {{}, {&ids, &part_ids, &values}}; }
  void verify() const;
};

// A token stays possible in row rows[i] of logits f32 [S,W] if its bit of masks[i] is set; else its logit is
// −∞. Column c is the token first_id + c, whose bit is that of value 1 << id % 32 in word id / 32; ids beyond
// the words have none. rows i32 [M], distinct; masks i32 [M, words], dense.
struct MaskLogits {
  Tensor logits, rows, masks;
  int64_t first_id;
  OperationTensors tensors() { return {{}, {&logits, &rows, &masks}}; }
  void verify() const;
};

// ids i32 [S], each drawn from a row of logits f32 [R,S,W] of R shards, dense, as its uhd::Draw says: shard
// r's ids begin at r · W, those from `vocabulary` on do not count. draws i32 [S, kDrawWords]. The draw is the
// same on every backend (kernels/draw.h); -1 where the largest logit is not finite.
struct Draw {
  Tensor ids, logits;
  int64_t vocabulary;
  Tensor draws;
  OperationTensors tensors() { return {{}, {&ids, &logits, &draws}}; }
  void verify() const;
};

// ids[t] = drawn[at[t]] where at[t] is not -1; ids, at i32 [T], drawn i32 [S].
struct TakeDrawn {
  Tensor ids, drawn, at;
  OperationTensors tensors() { return {{}, {&ids, &drawn, &at}}; }
  void verify() const;
};

// out = x in another type of float.
struct Cast {
  Tensor out, x;
  OperationTensors tensors() { return {{}, {&out, &x}}; }
  void verify() const;
};

// flags i32 [T]: 1 where every value of the row of x [T,W] is finite, else 0.
struct FiniteRows {
  Tensor flags, x;
  OperationTensors tensors() { return {{&x}, {&flags}}; }
  void verify() const;
};

// Whole pages inside one layer: pages[to[i]] = pages[from[i]]; i32 [n] each; no page is in both.
struct CopyPages {
  KvLayer pages;
  Tensor from, to;
  OperationTensors tensors() { return {{}, {&pages.k, &pages.v, &from, &to}}; }
  void verify() const;
};

}  // namespace ops

// X(Name) for each of them, from which backends declare their functions.
// clang-format off
#define UHD_OPERATIONS(X)                                                                               \
  X(Matmul) X(Embed) X(RmsNorm) X(AddRmsNorm) X(LayerNorm) X(HeadNorm) X(Rope) X(StoreKv)               \
  X(PagedAttention) X(PackedAttention) X(SiluMul) X(Add) X(AddRows) X(GatherRows) X(ScatterRows)        \
  X(Patchify) X(InterpolatePositions) X(RegionAlign) X(Argmax) X(BestOfShards) X(MaskLogits) X(Draw)    \
  X(TakeDrawn) X(Cast) X(FiniteRows) X(CopyPages)
// clang-format on

// A model calls these: each checks the contract, here and nowhere else, and hands the operation to the
// backend. Each function does what the struct of its name says.
class Operations {
 public:
  virtual ~Operations() = default;

  // Any operation, by its arguments.
  template <class Operation>
  void run(const Operation& operation) {
    operation.verify();
    perform(operation);
  }

  void matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options = {}) {
    run(ops::Matmul{out, x, w, options});
  }
  // Makes what only the first product of these shapes would make: plans, memory, code on the device. out
  // holds anything afterwards. Does nothing on the host.
  void prepare_matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options = {}) {
    const ops::Matmul product{out, x, w, options};
    product.verify();
    prepare(product);
  }
  void embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) {
    run(ops::Embed{out, table, ids, first_id});
  }
  void rms_norm(Tensor out, Tensor x, Tensor w, float eps) { run(ops::RmsNorm{out, x, w, eps}); }
  void add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out, float eps) {
    run(ops::AddRmsNorm{residual, x, w, out, eps});
  }
  void layer_norm(Tensor out, Tensor x, Tensor w, Tensor b, float eps) {
    run(ops::LayerNorm{out, x, w, b, eps});
  }
  void head_norm(Tensor q, Tensor k, Tensor q_w, Tensor k_w, float eps) {
    run(ops::HeadNorm{q, k, q_w, k_w, eps});
  }
  void rope(Tensor q, Tensor k, Tensor positions, Tensor table) { run(ops::Rope{q, k, positions, table}); }
  void store_kv(const KvLayer& pages, Tensor k, Tensor v, Tensor slots) {
    run(ops::StoreKv{pages, k, v, slots});
  }
  void paged_attention(Tensor out, Tensor q, const KvLayer& pages, const PagedSpans& spans, float scale) {
    run(ops::PagedAttention{out, q, pages, spans, scale});
  }
  void packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets,
                        int max_q, int max_kv, float scale, bool precise = false) {
    run(ops::PackedAttention{out, q, k, v, q_offsets, kv_offsets, max_q, max_kv, scale, precise});
  }
  void silu_mul(Tensor out, Tensor gate_up) { run(ops::SiluMul{out, gate_up}); }
  void add(Tensor out, Tensor a, Tensor b) { run(ops::Add{out, a, b}); }
  void add_rows(Tensor x, Tensor rows, Tensor index) { run(ops::AddRows{x, rows, index}); }
  void gather_rows(Tensor out, Tensor x, Tensor index) { run(ops::GatherRows{out, x, index}); }
  void scatter_rows(Tensor x, Tensor rows, Tensor index) { run(ops::ScatterRows{x, rows, index}); }
  void patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
                const PatchNormalisation& normalisation) {
    run(ops::Patchify{out, pixels, slices, patch, normalisation});
  }
  void interpolate_positions(Tensor out, Tensor table, int h, int w) {
    run(ops::InterpolatePositions{out, table, h, w});
  }
  void region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) {
    run(ops::RegionAlign{out, x, grids});
  }
  void argmax(Tensor ids, Tensor values, Tensor logits) { run(ops::Argmax{ids, values, logits}); }
  void best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width, int64_t vocabulary) {
    run(ops::BestOfShards{ids, part_ids, values, width, vocabulary});
  }
  void mask_logits(Tensor logits, Tensor rows, Tensor masks, int64_t first_id) {
    run(ops::MaskLogits{logits, rows, masks, first_id});
  }
  void draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) {
    run(ops::Draw{ids, logits, vocabulary, draws});
  }
  void take_drawn(Tensor ids, Tensor drawn, Tensor at) { run(ops::TakeDrawn{ids, drawn, at}); }
  void cast(Tensor out, Tensor x) { run(ops::Cast{out, x}); }
  void finite_rows(Tensor flags, Tensor x) { run(ops::FiniteRows{flags, x}); }
  void copy_pages(const KvLayer& pages, Tensor from, Tensor to) { run(ops::CopyPages{pages, from, to}); }

 private:
  // Does the operation, or queues it. Its contract holds.
#define UHD_PERFORM(Name) virtual void perform(const ops::Name& operation) = 0;
  UHD_OPERATIONS(UHD_PERFORM)
#undef UHD_PERFORM
  virtual void prepare(const ops::Matmul&) {}
};

}  // namespace uhd
