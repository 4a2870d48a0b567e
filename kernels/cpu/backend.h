// The CPU: operations cut into tasks for the thread pool, each task a serial loop of the chosen instruction
// set.
#pragma once

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/table.h"

namespace uhd::cpu {

// Device memory is host memory; upload and download copy at once. Member functions lie by family in
// matmul.cc, quantized.cc, attention.cc, norm.cc, elementwise.cc, rows.cc, select.cc and vision.cc.
class Backend final : public uhd::Backend {
 public:
  explicit Backend(const BackendOptions& options);

  std::string description() const override;
  DType activation_dtype() const override { return DType::f32; }
  bool host_memory() const override { return true; }
  size_t free_memory() const override { return 0; }
  size_t allocated() const override { return allocated_; }

  DeviceBuffer allocate(size_t bytes) override;
  void upload(Tensor device, Tensor host) override;
  void download(Tensor host, Tensor device) override;
  void synchronize() override {}
  std::unique_ptr<Readback> make_readback(size_t bytes) override;
  std::unique_ptr<Mark> make_mark() override;
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }
  Weight pack(Tensor host, WeightFormat format, Tensor whole) override;

  void matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) override;
  void embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) override;
  void rms_norm(Tensor out, Tensor x, Tensor w, float eps) override;
  void add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out, float eps) override;
  void layer_norm(Tensor out, Tensor x, Tensor w, Tensor b, float eps) override;
  void rope(Tensor q, Tensor k, Tensor positions, Tensor table) override;
  void store_kv(KvLayer pages, Tensor k, Tensor v, Tensor slots) override;
  void paged_attention(Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans, float scale) override;
  void packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets, Tensor kv_offsets,
                        int max_q, int max_kv, float scale, bool precise) override;
  void silu_mul(Tensor out, Tensor gate_up) override;
  void add(Tensor out, Tensor a, Tensor b) override;
  void add_rows(Tensor x, Tensor rows, Tensor index) override;
  void gather_rows(Tensor out, Tensor x, Tensor index) override;
  void scatter_rows(Tensor x, Tensor rows, Tensor index) override;
  void patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
                const PatchNormalisation& normalisation) override;
  void interpolate_positions(Tensor out, Tensor table, int h, int w) override;
  void region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) override;
  void argmax(Tensor ids, Tensor values, Tensor logits) override;
  void best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width, int64_t vocabulary) override;
  void draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) override;
  void take_drawn(Tensor ids, Tensor drawn, Tensor at) override;
  void cast(Tensor out, Tensor x) override;
  void finite_rows(Tensor flags, Tensor x) override;
  void copy_pages(KvLayer pages, Tensor from, Tensor to) override;

 private:
  void release(void* data, size_t bytes) noexcept override;
  Weight pack_quantized(Tensor host, WeightFormat format, Tensor whole);
  // body(row) for every row, in tasks of about kTaskElements.
  template <class Body>
  void for_rows(int64_t rows, int64_t row_elements, const Body& body) {
    constexpr int64_t kTaskElements = 16384;
    const int64_t grain = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, row_elements));
    pool_.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  const Table& table_;
  const bool bf16_attention_;  // of packed_attention
  size_t allocated_ = 0;
  ThreadPool pool_;
  Scratch activations_;  // matmul: x as bfloat16; packed_attention: keys and values as operands
  PackedKeys packed_;
  std::vector<AttentionTask> tasks_;
  // Of one row while its token is drawn.
  struct DrawScratch {
    std::vector<float> logits;
    std::vector<uint64_t> keys;
  };
  std::vector<DrawScratch> draws_;
};

}  // namespace uhd::cpu
