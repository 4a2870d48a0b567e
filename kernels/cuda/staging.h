// Stages uploads in host memory that the device reads by itself.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "kernels/cuda/device_memory.h"

namespace uhd::cuda {

// Copies to the device in the order of a stream, but beside its work: pinned memory is copied on a stream of
// its own into a mirror of it on the device, while earlier kernels run, and from there in the order of the
// kernels' stream, at the speed of the device's memory. So the inputs of a step cross the bus during the step
// before.
//
// Pinned memory and mirror have two halves. Uploads fill one half; when it is full the other is taken, after
// the device has read its old contents. So a call waits only when the device is more than half a buffer
// behind.
class Staging {
 public:
  // `beside` is the stream of the copies from the host, used for nothing else.
  Staging(cudaStream_t stream, cudaStream_t beside, size_t bytes);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Copies to the device in the stream's order; `from` may be reused on return.
  void upload(void* to, const void* from, size_t bytes);

  // Starts an upload without a copy on the host: returns at least `least` bytes of pinned memory, which the
  // caller fills...
  std::span<std::byte> room(size_t least);
  // ...and sends, as much of its beginning as it filled, before the next call.
  void send(void* to, size_t bytes);

 private:
  struct Half {
    PinnedMemory memory;
    DeviceMemory mirror;
    Event read;  // recorded behind the last copy out of the mirror
  };
  void turn();

  cudaStream_t stream_;
  cudaStream_t beside_;
  Event mirrored_;
  size_t half_bytes_;
  size_t used_ = 0;
  int current_ = 0;
  Half halves_[2];
};

}  // namespace uhd::cuda
