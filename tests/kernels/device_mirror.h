// Lets tests written for host tensors run on a device: every operation copies its host tensors to the device
// with the same spacing (gaps included), runs there, and copies back what it may have written. f32
// activations become the backend's own type on the way. Tensors in memory of allocate() are the device's
// already.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "kernels/backend.h"

namespace uhd {

class DeviceMirror final : public Backend {
 public:
  // `recover` is called when an operation failed, before the Error goes on.
  DeviceMirror(std::unique_ptr<Backend> backend, std::function<void()> recover);

  std::string description() const override { return backend_->description(); }
  DType activation_dtype() const override { return backend_->activation_dtype(); }
  bool host_memory() const override { return false; }
  size_t free_memory() const override { return 0; }
  size_t allocated() const override { return backend_->allocated(); }

  DeviceBuffer allocate(size_t bytes) override;
  void upload(Tensor device, Tensor host) override { backend_->upload(device, host); }
  void download(Tensor host, Tensor device) override { backend_->download(host, device); }
  void synchronize() override { backend_->synchronize(); }
  std::unique_ptr<Readback> make_readback(size_t bytes) override { return backend_->make_readback(bytes); }
  std::unique_ptr<Mark> make_mark() override { return backend_->make_mark(); }
  // Its operations copy.
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }
  void begin_range(const char* name) override { backend_->begin_range(name); }
  void end_range() override { backend_->end_range(); }
  Weight pack(Tensor host, WeightFormat format, Tensor whole) override {
    return backend_->pack(host, format, whole);
  }

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
  class Call;
  template <class Run>
  void call(const Run& run);
  bool is_own(const Tensor& t) const;
  void release(void* data, size_t bytes) noexcept override;

  std::unique_ptr<Backend> backend_;
  std::function<void()> recover_;
  std::map<const std::byte*, DeviceBuffer> own_;  // what allocate() gave
};

}  // namespace uhd
