// A backend that computes nothing and holds no memory: what runs on it shows what the same would take.
#pragma once

#include <string>

#include "kernels/backend.h"
#include "kernels/uniform_operations.h"

namespace uhd {

// Gives out addresses that nobody may look at. Contracts are checked, tensors are left alone: there is
// nothing to download, readbacks bring empty tensors, and weights have a format and sizes alone.
class IdleBackend : public UniformOperations<IdleBackend, Backend> {
 public:
  // It stands for the host or for a device.
  explicit IdleBackend(DType activations, bool host_memory = false)
      : activations_(activations), host_memory_(host_memory) {}

  std::string description() const override { return "idle"; }
  DType activation_dtype() const override { return activations_; }
  bool host_memory() const override { return host_memory_; }
  bool rehearses() const override { return true; }
  size_t free_memory() const override { return 0; }
  size_t allocated() const override { return allocated_; }

  DeviceBuffer allocate(size_t bytes) override;
  void synchronize() override {}
  std::unique_ptr<Readback> make_readback(size_t bytes) override;
  std::unique_ptr<Mark> make_mark() override;
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }

  // Where the memory seems to lie: no address of this process or of a device, and aligned like theirs.
  static void* nowhere();

 protected:
  Weight do_pack(Tensor host, WeightFormat format, Tensor whole) override;
  void release(void* data, size_t bytes) noexcept override;

  size_t allocated_ = 0;

 private:
  friend UniformOperations<IdleBackend, Backend>;
  template <class Operation>
  void each(const Operation&) {}
  void do_upload(Tensor, Tensor) override {}
  void do_download(Tensor, Tensor) override;

  const DType activations_;
  const bool host_memory_;
};

}  // namespace uhd
