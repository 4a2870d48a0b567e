// Host memory that the device reads by itself: what an upload passes through.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace uhd::cuda {

// Two halves of pinned memory. Uploads fill one half; when it is full the other is taken, after the device
// has read what was in it before. So a call waits only when the device is more than half a buffer behind.
class Staging {
 public:
  Staging(cudaStream_t stream, size_t bytes);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Copies to the device in the stream's order; `from` may be reused on return.
  void upload(void* to, const void* from, size_t bytes);

 private:
  struct Half {
    std::byte* memory = nullptr;
    cudaEvent_t read = nullptr;  // recorded behind the last copy out of it
  };
  void turn();

  cudaStream_t stream_;
  size_t half_bytes_;
  size_t used_ = 0;
  int current_ = 0;
  Half halves_[2];
};

}  // namespace uhd::cuda
