// One device: memory, and the operations of the model family, run in order on the device's stream.
//
// Letters: T tokens in the step, S sequences or segments, H hidden, Hq/Hk query/key heads on this rank, D
// head size, I MLP width on this rank, V vocabulary on this rank, N,K matrix sizes, P patches, Q queries.
// Outputs come first. Activations are f32 on the CPU, bf16 or f32 on CUDA: activation_dtype() says which, and
// one operation's activations are of one type. Index tensors are i32 in device memory (Workspace::put). Rows
// of activations may be spaced (Tensor::row_stride) unless a comment says dense.
//
// Threads: one thread at a time uses a backend. Errors: a contract broken by the caller is an Error
// (kernels/contracts.h). An index outside its tensor is an Error at once on the CPU; a device finds it later,
// and then the next call that waits throws and the backend is lost.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/epilogue.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace uhd {

struct MatmulOptions {
  Tensor bias{};  // f32 [N] or empty
  Epilogue epilogue = Epilogue::none;
};

// K and V of one layer: [pages, page, Hk, D] each. How a backend orders the elements inside a page is its own
// affair (sizes are the same); only store_kv, paged_attention and copy_pages look inside. The pages' dtype,
// f32 or bf16, decides how paged_attention forms its products, as WeightFormat does for matmul.
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

// One region of one slice's feature grid for region_align: RoIAlign(aligned = false, sampling ratio adaptive
// = ceil of the bin size) of the window (x0,y0,x1,y1), in feature units, into out_rows x out_columns bins.
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

struct BackendOptions {
  std::string kind = "cpu";  // cpu | cuda | auto
  int threads = 0;           // 0: every core this process may use
  std::string isa = "auto";  // CPU only: auto | avx512_bf16 | avx512 | avx2 | scalar
  // CUDA only: which of the devices that this process sees; -1: by local_rank, round and round.
  int device = -1;
  int local_rank = 0;  // of this rank among those of its host
  // CUDA only: auto (tensor cores where they fit) | plain | flashinfer (its kernels, where they are built and
  // fit, else as auto)
  std::string attention = "auto";
  bool graphs = true;  // CUDA only: record() records
  // CUDA only: products of more than a few rows with fp8 and int8 weights quantize the activations too, each
  // row by a scale of its own (kernels/cuda/quantized_activations.h). fp8 needs a device of sm_89 or later.
  bool quantize_activations = false;
  // How packed_attention forms its products, where both operands are activations. On CUDA also the type of
  // activations. f32 or bf16.
  WeightFormat compute = WeightFormat::bf16;
};

// Operations that were recorded once: run() queues them all again, on the same tensors with what these hold
// then. Whatever the host passed by value (sizes, scales, offsets) stays as it was.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void run() = 0;
};

// A place in the order of what is queued.
class Mark {
 public:
  virtual ~Mark() = default;
  // Behind everything queued so far.
  virtual void set() = 0;
  // Whether the device has come to where it was set last; true before that. Never waits; from any thread.
  virtual bool reached() const = 0;
};

// Host memory that the device fills by itself.
class Readback {
 public:
  virtual ~Readback() = default;
  // Queues the copy of a dense tensor. What the last one brought is void.
  virtual void begin(Tensor device) = 0;
  // The same beside what is queued, for a tensor that nothing queued still writes.
  virtual void begin_beside(Tensor device) = 0;
  // Whether wait() would wait for nothing.
  virtual bool ready() const = 0;
  // Waits for what was queued up to begin() and for nothing after it. Valid until the next begin().
  virtual Tensor wait() = 0;
};

// Memory that was wanted and is not there.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string description() const = 0;  // for logs: "cpu avx512_bf16, 2 threads"
  virtual DType activation_dtype() const = 0;
  // Whether tensors lie in memory that the host, and what moves host memory, may touch, and operations are
  // done when they return. Where not, upload and download are the only ways in and out.
  virtual bool host_memory() const = 0;
  // Bytes that allocate() could still give of the device's own memory; 0 where tensors take the host's.
  virtual size_t free_memory() const = 0;
  // Bytes that allocate() gave and that were not given back.
  virtual size_t allocated() const = 0;

  // Takes that much of the device in one piece, from which allocate() gives from now on, and from the rest of
  // the device only what no longer fits. Once, before what it is for; OutOfMemory where it is not there. On
  // the host, nothing.
  virtual void reserve(size_t) {}
  // What reserve() took; of a rehearsal, what it would have to.
  virtual size_t reserved() const { return 0; }
  // A stand-in with what this device has free now, which takes no memory, reads none and computes nothing:
  // what is built on it shows what the same will take here. Null: there is nothing to plan, memory is the
  // host's.
  virtual std::unique_ptr<Backend> rehearsal() const { return nullptr; }
  // Whether this is one: the values of what is uploaded or packed are not looked at.
  virtual bool rehearses() const { return false; }

  // Memory, uninitialised; what is not there is OutOfMemory with the numbers. upload/download copy between
  // dense host tensors and device tensors of equal shape and dtype. When upload returns, the host tensor may
  // be changed. Only download and synchronize wait for the device.
  virtual DeviceBuffer allocate(size_t bytes) = 0;
  virtual void upload(Tensor device, Tensor host) = 0;
  virtual void download(Tensor host, Tensor device) = 0;
  virtual void synchronize() = 0;
  // Room for tensors of up to so many bytes.
  virtual std::unique_ptr<Readback> make_readback(size_t bytes) = 0;
  virtual std::unique_ptr<Mark> make_mark() = 0;
  // Records the operations that `queue` calls, instead of running them. They must have run before in the same
  // shapes, and are operations alone: to allocate, upload, download or wait is an Error. Null: this backend
  // does not record, and `queue` was not called. Must not outlive the backend.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& queue) = 0;
  // What this thread calls between the two is named for tools that watch the device; ranges nest. Use
  // ProfilerRange.
  virtual void begin_range(const char*) {}
  virtual void end_range() {}
  // Packs a host matrix [N,K] (f32, bf16 or f16; rows may be spaced, so that a shard of a mapped file packs
  // in place). A shard of columns names the `whole` matrix they are of, so that it is quantized as the whole
  // would be.
  virtual Weight pack(Tensor host, WeightFormat format, Tensor whole = {}) = 0;
  // Products with what is packed from now on have at most so many rows; take_scratch() then takes all memory
  // that they need beside their operands. Without it they take it when they first need it. On the host,
  // nothing.
  virtual void expect_rows(int64_t) {}
  virtual void take_scratch() {}

  // [T,N] = [T,K]·[N,K]ᵀ + bias, then the epilogue. out may be f32 where x is bf16 (logits).
  virtual void matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options = {}) = 0;
  // What only the first product of these shapes would make: plans, memory, code on the device. out holds
  // anything afterwards. Nothing on the host.
  virtual void prepare_matmul(Tensor, Tensor, const Weight&, const MatmulOptions& = {}) {}
  // out [T,H] from table [V,H] (f32, bf16 or f16); ids outside [first_id, first_id + V) give zero rows.
  virtual void embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) = 0;
  // out = x / rms(x) · w; w f32 [H].
  virtual void rms_norm(Tensor out, Tensor x, Tensor w, float eps) = 0;
  // residual += x; out = rms_norm(residual).
  virtual void add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out, float eps) = 0;
  virtual void layer_norm(Tensor out, Tensor x, Tensor w, Tensor b, float eps) = 0;
  // Rotates pairs (i, i + D/2) of q [T,Hq,D] and k [T,Hk,D] in place; table f32 [positions, 2, D/2]: cosines,
  // sines.
  virtual void rope(Tensor q, Tensor k, Tensor positions, Tensor table) = 0;
  // k, v [T,Hk,D] into the pages; slots i32 [T] = page · page size + offset.
  virtual void store_kv(KvLayer pages, Tensor k, Tensor v, Tensor slots) = 0;
  // out, q [T,Hq,D]; prefill chunks and decode in one call.
  virtual void paged_attention(Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans, float scale) = 0;
  // out, q [Tq,Hq,D], k, v [Tk,Hq,D]; segment s attends its own keys. Offsets i32 [S+1]; max_* as in
  // PagedSpans. precise: products in f32 whatever `compute` says; on a device, whose activations are of that
  // type already, it changes nothing.
  virtual void packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets,
                                int max_q, int max_kv, float scale, bool precise = false) = 0;
  // out [T,I] = silu(g)·u from gate_up [T,2I] = [g | u].
  virtual void silu_mul(Tensor out, Tensor gate_up) = 0;
  // out = a + b; b may have one row for all.
  virtual void add(Tensor out, Tensor a, Tensor b) = 0;
  // x[t] += rows[index[t]], index i32 [T]: position rows.
  virtual void add_rows(Tensor x, Tensor rows, Tensor index) = 0;
  // out[i] = x[index[i]].
  virtual void gather_rows(Tensor out, Tensor x, Tensor index) = 0;
  // x[index[i]] = rows[i]; indices are distinct.
  virtual void scatter_rows(Tensor x, Tensor rows, Tensor index) = 0;
  // out [P, 3·patch·patch]: (pixel/255 − mean)/deviation, patches row-major per slice, inside channel, row,
  // column.
  virtual void patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
                        const PatchNormalisation& normalisation) = 0;
  // out [h·w, W] from a square table [g·g, W]: bicubic, align_corners off, no antialiasing, a = −0.75.
  virtual void interpolate_positions(Tensor out, Tensor table, int h, int w) = 0;
  // out [windows·bins, W] from x [P, W].
  virtual void region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) = 0;
  // ids i32 [S], values f32 [S]: the first largest logit of each row [S,V].
  virtual void argmax(Tensor ids, Tensor values, Tensor logits) = 0;
  // ids i32 [S] from every shard's argmax, part_ids i32 and values f32 [R,S]: the largest value's id, the
  // first of equals; shard r's ids begin at r · width, those from `vocabulary` on do not count. -1 where the
  // largest value is not finite.
  virtual void best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width,
                              int64_t vocabulary) = 0;
  // ids i32 [S], each drawn from a row of logits f32 [R,S,W] of R shards, dense, as its Draw says: shard r's
  // ids begin at r · W, those from `vocabulary` on do not count. draws i32 [S, kDrawWords]. The same on every
  // backend (kernels/draw.h); -1 where the largest logit is not finite.
  virtual void draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) = 0;
  // ids[t] = drawn[at[t]] where at[t] is not -1; ids, at i32 [T], drawn i32 [S].
  virtual void take_drawn(Tensor ids, Tensor drawn, Tensor at) = 0;
  virtual void cast(Tensor out, Tensor x) = 0;
  // flags i32 [T]: 1 where every value of the row of x [T,W] is finite, else 0.
  virtual void finite_rows(Tensor flags, Tensor x) = 0;
  // Whole pages inside one layer: pages[to[i]] = pages[from[i]]; i32 [n] each; no page is in both.
  virtual void copy_pages(KvLayer pages, Tensor from, Tensor to) = 0;

 private:
  friend class DeviceBuffer;
  virtual void release(void* data, size_t bytes) noexcept = 0;
};

// A range of calls for as long as it lives. `name` outlives it.
class ProfilerRange {
 public:
  ProfilerRange(Backend& backend, const char* name) : backend_(backend) { backend.begin_range(name); }
  ~ProfilerRange() { backend_.end_range(); }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

 private:
  Backend& backend_;
};

// An unknown kind, or one this machine lacks, is an Error that says so. auto: CUDA where it works, else the
// CPU.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace uhd
