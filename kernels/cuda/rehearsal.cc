#include "kernels/cuda/rehearsal.h"

#include <utility>

#include "base/bytes_text.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/pack.h"

namespace uhd::cuda {

Rehearsal::Rehearsal(std::string description, DType activations, bool quantize_activations, size_t bytes)
    : IdleBackend(activations),
      description_(std::move(description)),
      quantize_activations_(quantize_activations),
      arena_(nowhere(), bytes) {}

DeviceBuffer Rehearsal::allocate(size_t bytes) {
  void* const part = arena_.take(bytes);
  if (part == nullptr)
    throw OutOfMemory(message("the device would be out of memory: ", bytes_text(bytes), " wanted, ",
                              bytes_text(free_memory()), " of the ", bytes_text(arena_.bytes()),
                              " that were free left"));
  allocated_ += bytes;
  return DeviceBuffer(*this, part, bytes);
}

void Rehearsal::release(void* data, size_t bytes) noexcept {
  arena_.give_back(data, bytes);
  allocated_ -= bytes;
}

Weight Rehearsal::do_pack(Tensor host, WeightFormat format, Tensor) {
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  if (expected_rows_ > 0) {
    cover(scratch_, scratch_of(w.n, w.k, format, expected_rows_, activation_dtype(), quantize_activations_));
  }
  const PackedBytes bytes = packed_bytes(w.n, w.k, format);
  w.data = allocate(bytes.data);
  if (bytes.scales > 0) w.scales = allocate(bytes.scales);
  return w;
}

void Rehearsal::take_scratch() {
  for (size_t i = 0; i < kScratchUses; ++i) {
    if (scratch_[i] > 0) scratch_memory_[i] = allocate(scratch_[i]);
  }
}

}  // namespace uhd::cuda
