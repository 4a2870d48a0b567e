// Gives device memory, pinned memory and events an owner.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

namespace uhd::cuda {

struct FreeDeviceMemory {
  void operator()(void* memory) const noexcept;
};
// Freeing waits for everything on the device.
using DeviceMemory = std::unique_ptr<void, FreeDeviceMemory>;

// Takes memory of this thread's device; if there is not enough, throws OutOfMemory with the numbers. `use`,
// such as "weights", stands in messages.
DeviceMemory take_device_memory(size_t bytes, const char* use);

struct FreePinnedMemory {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
using PinnedMemory = std::unique_ptr<void, FreePinnedMemory>;
PinnedMemory take_pinned_memory(size_t bytes);

struct DestroyEvent {
  void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<CUevent_st, DestroyEvent>;  // an event that records no time
Event make_event();

}  // namespace uhd::cuda
