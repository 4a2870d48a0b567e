#include "kernels/cuda/readback.h"

#include "kernels/cuda/check.h"

namespace uhd::cuda {

Readback::Readback(Backend& backend, size_t bytes) : backend_(backend), bytes_(bytes) {
  backend.stream();  // the device becomes this thread's
  check_cuda(cudaHostAlloc(&memory_, bytes == 0 ? 1 : bytes, cudaHostAllocDefault),
             "allocating pinned memory");
  check_cuda(cudaEventCreateWithFlags(&written_, cudaEventDisableTiming), "creating an event");
}

// A copy under way still writes.
Readback::~Readback() {
  if (written_ != nullptr) {
    cudaEventSynchronize(written_);
    cudaEventDestroy(written_);
  }
  cudaFreeHost(memory_);
}

void Readback::begin(Tensor device) {
  check(device.dense() && device.bytes() <= bytes_, "a readback of ", bytes_, " bytes for ", device.bytes());
  values_ = Tensor(memory_, device.dtype(), device.shape());
  const cudaStream_t stream = backend_.stream();
  check_cuda(cudaMemcpyAsync(memory_, device.raw(), device.bytes(), cudaMemcpyDeviceToHost, stream),
             "copying to the host");
  check_cuda(cudaEventRecord(written_, stream), "recording an event");
}

Tensor Readback::wait() {
  backend_.wait_for(written_);
  return values_;
}

}  // namespace uhd::cuda
