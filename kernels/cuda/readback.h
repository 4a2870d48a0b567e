// Pinned host memory that a copy on the backend's stream fills, and the event behind that copy.
#pragma once

#include "kernels/cuda/backend.h"

namespace uhd::cuda {

class Readback final : public uhd::Readback {
 public:
  Readback(Backend& backend, size_t bytes);
  ~Readback() override;
  Readback(const Readback&) = delete;
  Readback& operator=(const Readback&) = delete;

  void begin(Tensor device) override;
  Tensor wait() override;

 private:
  Backend& backend_;
  const size_t bytes_;
  const PinnedMemory memory_;
  const Event written_;
  Tensor values_;
};

}  // namespace uhd::cuda
