// Lets tests written for host tensors run on a device: every operation copies its host tensors to the device
// with the same spacing (gaps included), runs there, and copies back everything that it may have written. f32
// activations become the backend's own type on the way. Tensors in memory of allocate() are the device's
// already.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "kernels/backend.h"
#include "kernels/uniform_operations.h"

namespace uhd {

class DeviceMirror final : public UniformOperations<DeviceMirror, Backend> {
 public:
  // `recover` is called when an operation failed, before the Error goes on.
  DeviceMirror(std::unique_ptr<Backend> backend, std::function<void()> recover);
  ~DeviceMirror() override;

  std::string description() const override { return backend_->description(); }
  DType activation_dtype() const override { return backend_->activation_dtype(); }
  bool host_memory() const override { return false; }
  size_t free_memory() const override { return 0; }
  size_t allocated() const override { return backend_->allocated(); }

  DeviceBuffer allocate(size_t bytes) override;
  void synchronize() override { backend_->synchronize(); }
  std::unique_ptr<Readback> make_readback(size_t bytes) override { return backend_->make_readback(bytes); }
  std::unique_ptr<Mark> make_mark() override { return backend_->make_mark(); }
  // It does not record, because its operations copy.
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }
  void begin_range(const char* name) override { backend_->begin_range(name); }
  void end_range() override { backend_->end_range(); }

 private:
  friend UniformOperations<DeviceMirror, Backend>;
  class Call;
  template <class Operation>
  void each(Operation operation);
  void do_upload(Tensor device, Tensor host) override { backend_->upload(device, host); }
  void do_download(Tensor host, Tensor device) override { backend_->download(host, device); }
  Weight do_pack(Tensor host, WeightFormat format, Tensor whole) override {
    return backend_->pack(host, format, whole);
  }
  bool is_own(const Tensor& t) const;
  void release(void* data, size_t bytes) noexcept override;

  std::unique_ptr<Backend> backend_;
  std::function<void()> recover_;
  std::map<const std::byte*, DeviceBuffer> own_;  // the memory that allocate() gave
};

}  // namespace uhd
