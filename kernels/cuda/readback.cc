#include "kernels/cuda/readback.h"

#include "kernels/cuda/check.h"

namespace uhd::cuda {
namespace {

bool reached_of(const Event& event) {
  const cudaError_t state = cudaEventQuery(event.get());
  if (state == cudaErrorNotReady) return false;
  check_cuda(state, "asking for an event");
  return true;
}

}  // namespace

Readback::Readback(Backend& backend, size_t bytes)
    : backend_(backend), bytes_(bytes), memory_(take_pinned_memory(bytes)), written_(make_event()) {}

// A copy under way still writes.
Readback::~Readback() { cudaEventSynchronize(written_.get()); }

void Readback::begin(Tensor device) { copy(device, backend_.stream()); }

void Readback::begin_beside(Tensor device) { copy(device, backend_.beside()); }

void Readback::copy(Tensor device, cudaStream_t stream) {
  check(device.dense() && device.bytes() <= bytes_, "a readback of ", bytes_, " bytes for ", device.bytes());
  values_ = Tensor(memory_.get(), device.dtype(), device.shape());
  check_cuda(cudaMemcpyAsync(memory_.get(), device.raw(), device.bytes(), cudaMemcpyDeviceToHost, stream),
             "copying to the host");
  check_cuda(cudaEventRecord(written_.get(), stream), "recording an event");
}

bool Readback::ready() const { return reached_of(written_); }

Tensor Readback::wait() {
  backend_.wait_for(written_.get());
  return values_;
}

void Mark::set() { check_cuda(cudaEventRecord(event_.get(), backend_.stream()), "recording an event"); }

bool Mark::reached() const { return reached_of(event_); }

}  // namespace uhd::cuda
