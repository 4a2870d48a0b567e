#include "kernels/cuda/device_memory.h"

#include <cuda_runtime.h>

#include "base/bytes_text.h"
#include "kernels/backend.h"
#include "kernels/cuda/check.h"

namespace uhd::cuda {

void FreeDeviceMemory::operator()(void* memory) const noexcept { cudaFree(memory); }

DeviceMemory take_device_memory(size_t bytes, const char* use) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes == 0 ? 1 : bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the next launch must not find it
    int device = 0;
    size_t left = 0, total = 0;
    check_cuda(cudaGetDevice(&device), "asking for the device");
    check_cuda(cudaMemGetInfo(&left, &total), "asking for the memory left");
    throw OutOfMemory(message("device ", device, " is out of memory: ", bytes_text(bytes), " wanted for ",
                              use, ", ", bytes_text(left), " of ", bytes_text(total), " free"));
  }
  check_cuda(status, "allocating memory");
  return DeviceMemory(memory);
}

PinnedMemory take_pinned_memory(size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaHostAlloc(&memory, bytes == 0 ? 1 : bytes, cudaHostAllocDefault),
             "allocating pinned memory");
  return PinnedMemory(memory);
}

Event make_event() {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  return Event(event);
}

}  // namespace uhd::cuda
