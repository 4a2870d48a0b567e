// The backend that a rank is built on first, to learn what it needs of a device.
#pragma once

#include "kernels/cuda/arena.h"
#include "kernels/cuda/product_scratch.h"
#include "kernels/idle_backend.h"

namespace uhd::cuda {

// Idle, but it gives out its addresses as the device would its memory; what does not fit is OutOfMemory.
class Rehearsal final : public IdleBackend {
 public:
  // The device has so many free bytes.
  Rehearsal(std::string description, DType activations, bool quantize_activations, size_t bytes);

  std::string description() const override { return description_; }
  size_t free_memory() const override { return arena_.bytes() - arena_.peak(); }
  size_t reserved() const override { return arena_.peak(); }

  DeviceBuffer allocate(size_t bytes) override;
  void expect_rows(int64_t rows) override { expected_rows_ = rows; }
  void take_scratch() override;

 private:
  Weight do_pack(Tensor host, WeightFormat format, Tensor) override;
  void release(void* data, size_t bytes) noexcept override;

  const std::string description_;
  const bool quantize_activations_;
  Arena arena_;
  int64_t expected_rows_ = 0;
  ProductScratch scratch_{};
  std::array<DeviceBuffer, kScratchUses> scratch_memory_;
};

}  // namespace uhd::cuda
