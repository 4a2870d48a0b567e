// A backend that computes nothing and takes nothing: what a rank is built on first, to learn what it needs.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/product_scratch.h"
#include "kernels/uniform_operations.h"

namespace uhd::cuda {

// Gives out addresses that nobody may look at, as the device would its memory; what does not fit is
// OutOfMemory. Whatever the device would do with tensors is left out but their contracts, and there is
// nothing to download.
class Rehearsal final : public UniformOperations<Rehearsal, uhd::Backend> {
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
  void synchronize() override {}
  std::unique_ptr<uhd::Readback> make_readback(size_t) override;
  std::unique_ptr<uhd::Mark> make_mark() override;
  std::unique_ptr<uhd::Recording> record(const std::function<void()>&) override { return nullptr; }
  void expect_rows(int64_t rows) override { expected_rows_ = rows; }
  void take_scratch() override;

 private:
  friend UniformOperations<Rehearsal, uhd::Backend>;
  template <class Operation>
  void each(const Operation&) {}
  void do_upload(Tensor, Tensor) override {}
  void do_download(Tensor, Tensor) override;
  Weight do_pack(Tensor host, WeightFormat format, Tensor) override;
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
