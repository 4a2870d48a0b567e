// Device memory with an owner.
#pragma once

#include <cstddef>
#include <memory>

namespace uhd::cuda {

struct FreeDeviceMemory {
  void operator()(void* memory) const noexcept;
};
// Freeing waits for everything on the device.
using DeviceMemory = std::unique_ptr<void, FreeDeviceMemory>;

// Of this thread's device; what is not there is OutOfMemory with the numbers. `use`: "weights", for messages.
DeviceMemory take_device_memory(size_t bytes, const char* use);

}  // namespace uhd::cuda
