#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/check.h"

namespace uhd::cuda {

Staging::Staging(cudaStream_t stream, cudaStream_t beside, size_t bytes)
    : stream_(stream), beside_(beside), mirrored_(make_event()), half_bytes_(bytes / 2) {
  for (Half& half : halves_) {
    half.memory = take_pinned_memory(half_bytes_);
    half.mirror = take_device_memory(half_bytes_, "uploads");
    half.read = make_event();
  }
}

void Staging::upload(void* to, const void* from, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const std::span<std::byte> place = room(1);
    const size_t part = std::min(bytes - done, place.size());
    std::memcpy(place.data(), static_cast<const std::byte*>(from) + done, part);
    send(static_cast<std::byte*>(to) + done, part);
    done += part;
  }
}

std::span<std::byte> Staging::room(size_t least) {
  check(least <= half_bytes_, "an upload in one piece of ", least, " bytes; at most ", half_bytes_, " fit");
  if (half_bytes_ - used_ < least) turn();
  return {static_cast<std::byte*>(halves_[current_].memory.get()) + used_, half_bytes_ - used_};
}

void Staging::send(void* to, size_t bytes) {
  constexpr size_t kUnit = 64;
  const Half& half = halves_[current_];
  std::byte* const mirror = static_cast<std::byte*>(half.mirror.get()) + used_;
  const std::byte* const memory = static_cast<std::byte*>(half.memory.get()) + used_;
  check_cuda(cudaMemcpyAsync(mirror, memory, bytes, cudaMemcpyHostToDevice, beside_),
             "copying to the device");
  check_cuda(cudaEventRecord(mirrored_.get(), beside_), "recording an event");
  check_cuda(cudaStreamWaitEvent(stream_, mirrored_.get(), 0), "waiting for an upload");
  check_cuda(cudaMemcpyAsync(to, mirror, bytes, cudaMemcpyDeviceToDevice, stream_), "copying on the device");
  used_ = std::min(half_bytes_, (used_ + bytes + kUnit - 1) / kUnit * kUnit);
}

void Staging::turn() {
  check_cuda(cudaEventRecord(halves_[current_].read.get(), stream_), "recording an event");
  current_ = 1 - current_;
  used_ = 0;
  check_cuda(cudaEventSynchronize(halves_[current_].read.get()), "waiting for an upload");
}

}  // namespace uhd::cuda
