// A Readback is pinned host memory that a copy on the backend's stream, or beside it, fills, with the event
// behind that copy. Marks are in the order of the backend's stream.
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
  void begin_beside(Tensor device) override;
  bool ready() const override;
  Tensor wait() override;

 private:
  void copy(Tensor device, cudaStream_t stream);

  Backend& backend_;
  const size_t bytes_;
  const PinnedMemory memory_;
  const Event written_;
  Tensor values_;
};

class Mark final : public uhd::Mark {
 public:
  explicit Mark(Backend& backend) : backend_(backend), event_(make_event()) {}

  void set() override;
  bool reached() const override;

 private:
  Backend& backend_;
  const Event event_;
};

}  // namespace uhd::cuda
