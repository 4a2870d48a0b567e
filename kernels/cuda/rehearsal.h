// A backend that computes nothing and takes nothing: what a rank is built on first, to learn what it needs.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/product_scratch.h"

namespace uhd::cuda {

// Gives out addresses that nobody may look at, as the device would its memory; what does not fit is
// OutOfMemory. Whatever the device would do with tensors is left out, contracts too, and there is nothing to
// download.
class Rehearsal final : public uhd::Backend {
 public:
  // Of a device of so many free bytes.
  Rehearsal(std::string description, DType activations, bool quantize_activations, size_t bytes);

  std::string description() const override { return description_; }
  DType activation_dtype() const override { return activations_; }
  bool host_memory() const override { return false; }
  bool rehearses() const override { return true; }
  size_t free_memory() const override { return arena_.bytes() - arena_.peak(); }
  size_t allocated() const override { return allocated_; }
  size_t reserved() const override { return arena_.peak(); }

  DeviceBuffer allocate(size_t bytes) override;
  void upload(Tensor, Tensor) override {}
  void download(Tensor, Tensor) override;
  void synchronize() override {}
  std::unique_ptr<uhd::Readback> make_readback(size_t) override;
  std::unique_ptr<uhd::Mark> make_mark() override;
  std::unique_ptr<uhd::Recording> record(const std::function<void()>&) override { return nullptr; }
  Weight pack(Tensor host, WeightFormat format, Tensor) override;
  void expect_rows(int64_t rows) override { expected_rows_ = rows; }
  void take_scratch() override;

  void matmul(Tensor, Tensor, const Weight&, const MatmulOptions&) override {}
  void embed(Tensor, Tensor, Tensor, int64_t) override {}
  void rms_norm(Tensor, Tensor, Tensor, float) override {}
  void add_rms_norm(Tensor, Tensor, Tensor, Tensor, float) override {}
  void layer_norm(Tensor, Tensor, Tensor, Tensor, float) override {}
  void rope(Tensor, Tensor, Tensor, Tensor) override {}
  void store_kv(KvLayer, Tensor, Tensor, Tensor) override {}
  void paged_attention(Tensor, Tensor, KvLayer, const PagedSpans&, float) override {}
  void packed_attention(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int, int, float, bool) override {}
  void silu_mul(Tensor, Tensor) override {}
  void add(Tensor, Tensor, Tensor) override {}
  void add_rows(Tensor, Tensor, Tensor) override {}
  void gather_rows(Tensor, Tensor, Tensor) override {}
  void scatter_rows(Tensor, Tensor, Tensor) override {}
  void patchify(Tensor, Tensor, std::span<const PixelSlice>, int, const PatchNormalisation&) override {}
  void interpolate_positions(Tensor, Tensor, int, int) override {}
  void region_align(Tensor, Tensor, std::span<const AlignGrid>) override {}
  void argmax(Tensor, Tensor, Tensor) override {}
  void best_of_shards(Tensor, Tensor, Tensor, int64_t, int64_t) override {}
  void draw(Tensor, Tensor, int64_t, Tensor) override {}
  void take_drawn(Tensor, Tensor, Tensor) override {}
  void cast(Tensor, Tensor) override {}
  void finite_rows(Tensor, Tensor) override {}
  void copy_pages(KvLayer, Tensor, Tensor) override {}

 private:
  void release(void* data, size_t bytes) noexcept override;

  const std::string description_;
  const DType activations_;
  const bool quantize_activations_;
  Arena arena_;
  size_t allocated_ = 0;
  int64_t expected_rows_ = 0;
  ProductScratch scratch_{};
  std::array<DeviceBuffer, kScratchUses> scratch_memory_;
};

}  // namespace uhd::cuda
