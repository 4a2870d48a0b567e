#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/check.h"

namespace uhd::cuda {

Staging::Staging(cudaStream_t stream, size_t bytes) : stream_(stream), half_bytes_(bytes / 2) {
  for (Half& half : halves_) {
    void* memory = nullptr;
    check_cuda(cudaHostAlloc(&memory, half_bytes_, cudaHostAllocDefault), "allocating pinned memory");
    half.memory = static_cast<std::byte*>(memory);
    check_cuda(cudaEventCreateWithFlags(&half.read, cudaEventDisableTiming), "creating an event");
  }
}

Staging::~Staging() {
  for (const Half& half : halves_) {
    if (half.read != nullptr) cudaEventDestroy(half.read);
    if (half.memory != nullptr) cudaFreeHost(half.memory);
  }
}

void Staging::upload(void* to, const void* from, size_t bytes) {
  constexpr size_t kUnit = 64;
  size_t done = 0;
  while (done < bytes) {
    if (used_ == half_bytes_) turn();
    const size_t part = std::min(bytes - done, half_bytes_ - used_);
    std::byte* place = halves_[current_].memory + used_;
    std::memcpy(place, static_cast<const std::byte*>(from) + done, part);
    check_cuda(
        cudaMemcpyAsync(static_cast<std::byte*>(to) + done, place, part, cudaMemcpyHostToDevice, stream_),
        "copying to the device");
    done += part;
    used_ = std::min(half_bytes_, (used_ + part + kUnit - 1) / kUnit * kUnit);
  }
}

void Staging::turn() {
  check_cuda(cudaEventRecord(halves_[current_].read, stream_), "recording an event");
  current_ = 1 - current_;
  used_ = 0;
  check_cuda(cudaEventSynchronize(halves_[current_].read), "waiting for an upload");
}

}  // namespace uhd::cuda
