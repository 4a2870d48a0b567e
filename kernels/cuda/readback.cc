#include "kernels/cuda/readback.h"

#include "kernels/cuda/check.h"

namespace uhd::cuda {

Readback::Readback(Backend& backend, size_t bytes)
    : backend_(backend), bytes_(bytes), memory_(take_pinned_memory(bytes)), written_(make_event()) {}

// A copy under way still writes.
Readback::~Readback() { cudaEventSynchronize(written_.get()); }

void Readback::begin(Tensor device) {
  check(device.dense() && device.bytes() <= bytes_, "a readback of ", bytes_, " bytes for ", device.bytes());
  values_ = Tensor(memory_.get(), device.dtype(), device.shape());
  const cudaStream_t stream = backend_.stream();
  check_cuda(cudaMemcpyAsync(memory_.get(), device.raw(), device.bytes(), cudaMemcpyDeviceToHost, stream),
             "copying to the host");
  check_cuda(cudaEventRecord(written_.get(), stream), "recording an event");
}

Tensor Readback::wait() {
  backend_.wait_for(written_.get());
  return values_;
}

}  // namespace uhd::cuda
