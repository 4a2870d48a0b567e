#include "tests/kernels/device_mirror.h"

#include <cstring>
#include <list>
#include <vector>

namespace uhd {

// The device copies of one operation's tensors.
class DeviceMirror::Call {
 public:
  explicit Call(DeviceMirror& mirror) : mirror_(mirror) {}

  // Copies a parameter, an index or anything else whose type stays.
  Tensor as_is(Tensor host) { return copy(host, host.dtype()); }
  // Copies f32 on the host to the backend's type on the device.
  Tensor activation(Tensor host) {
    return copy(host, host.dtype() == DType::f32 ? mirror_.activation_dtype() : host.dtype());
  }

  void bring_back() {
    for (const Copy& c : copies_) {
      if (c.elements == 0) continue;
      const DType type = c.device.dtype();
      std::vector<std::byte> bytes(static_cast<size_t>(c.elements) * size_of(type));
      const Tensor flat(c.device.raw(), type, {c.elements});
      mirror_.backend_->download(Tensor(bytes.data(), type, {c.elements}), flat);
      convert(c.host.raw(), c.host.dtype(), bytes.data(), type, c.elements);
    }
  }

 private:
  struct Copy {
    Tensor host, device;
    int64_t elements;
    DeviceBuffer memory;
  };

  Tensor copy(Tensor host, DType type) {
    if (host.empty() || mirror_.is_own(host))
      return Tensor(host.raw(), host.empty() ? type : host.dtype(), host.shape(), host.row_stride());
    for (const Copy& c : copies_)
      if (c.host.raw() == host.raw() && c.host.shape() == host.shape()) return c.device;
    const int64_t elements = host.rows() == 0 ? 0 : (host.rows() - 1) * host.row_stride() + host.row_size();
    Copy c{host, {}, elements, mirror_.backend_->allocate(static_cast<size_t>(elements) * size_of(type))};
    c.device = Tensor(c.memory.data(), type, host.shape(), host.row_stride());
    if (elements > 0) {
      std::vector<std::byte> bytes(static_cast<size_t>(elements) * size_of(type));
      convert(bytes.data(), type, host.raw(), host.dtype(), elements);
      mirror_.backend_->upload(Tensor(c.memory.data(), type, {elements}),
                               Tensor(bytes.data(), type, {elements}));
    }
    copies_.push_back(std::move(c));
    return copies_.back().device;
  }

  static void convert(void* to, DType to_type, const void* from, DType from_type, int64_t count) {
    if (to_type == from_type) {
      std::memcpy(to, from, static_cast<size_t>(count) * size_of(to_type));
    } else if (to_type == DType::bf16) {
      for (int64_t i = 0; i < count; ++i)
        static_cast<bf16*>(to)[i] = bf16(static_cast<const float*>(from)[i]);
    } else {
      for (int64_t i = 0; i < count; ++i)
        static_cast<float*>(to)[i] = static_cast<float>(static_cast<const bf16*>(from)[i]);
    }
  }

  DeviceMirror& mirror_;
  std::list<Copy> copies_;
};

DeviceMirror::DeviceMirror(std::unique_ptr<Backend> backend, std::function<void()> recover)
    : backend_(std::move(backend)), recover_(std::move(recover)) {}

DeviceMirror::~DeviceMirror() = default;

bool DeviceMirror::is_own(const Tensor& t) const {
  const auto* p = static_cast<const std::byte*>(t.raw());
  const auto at = own_.upper_bound(p);
  return at != own_.begin() && p < std::prev(at)->first + std::prev(at)->second.bytes();
}

DeviceBuffer DeviceMirror::allocate(size_t bytes) {
  DeviceBuffer buffer = backend_->allocate(bytes);
  void* data = buffer.data();
  own_.emplace(static_cast<const std::byte*>(data), std::move(buffer));
  return DeviceBuffer(*this, data, bytes);
}

void DeviceMirror::release(void* data, size_t) noexcept { own_.erase(static_cast<const std::byte*>(data)); }

template <class Operation>
void DeviceMirror::each(Operation operation) {
  Call call(*this);
  const OperationTensors tensors = operation.tensors();
  try {
    for (Tensor* t : tensors.activations)
      if (t != nullptr) *t = call.activation(*t);
    for (Tensor* t : tensors.others)
      if (t != nullptr) *t = call.as_is(*t);
    backend_->run(operation);
    backend_->synchronize();
  } catch (const Error&) {
    recover_();
    throw;
  }
  call.bring_back();
}

}  // namespace uhd
