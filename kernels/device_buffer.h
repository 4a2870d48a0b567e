// A DeviceBuffer owns memory of one backend and frees it there, or keeps alive what else holds the memory.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "kernels/tensor.h"

namespace uhd {

class Backend;

// It is move-only, and must not outlive its backend.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Backend& owner, void* data, size_t bytes) : owner_(&owner), data_(data), bytes_(bytes) {}
  // Memory of the host that `holder` keeps, such as a mapped file. It is read-only if the holder's is.
  DeviceBuffer(std::shared_ptr<const void> holder, void* data, size_t bytes)
      : holder_(std::move(holder)), data_(data), bytes_(bytes) {}
  DeviceBuffer(DeviceBuffer&& o) noexcept
      : owner_(std::exchange(o.owner_, nullptr)),
        holder_(std::move(o.holder_)),
        data_(std::exchange(o.data_, nullptr)),
        bytes_(std::exchange(o.bytes_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& o) noexcept {
    std::swap(owner_, o.owner_);
    std::swap(holder_, o.holder_);
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~DeviceBuffer();  // backend.cc

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

  // Returns the start of the buffer as a dense tensor, and checks that it fits.
  Tensor as(DType dtype, Shape shape) const {
    Tensor t(data_, dtype, shape);
    check(t.bytes() <= bytes_, "a tensor of ", t.bytes(), " bytes does not fit a buffer of ", bytes_);
    return t;
  }

 private:
  Backend* owner_ = nullptr;  // null: nobody's, or the holder's
  std::shared_ptr<const void> holder_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace uhd
