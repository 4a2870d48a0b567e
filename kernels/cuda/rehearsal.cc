#include "kernels/cuda/rehearsal.h"

#include <utility>

#include "base/bytes_text.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/pack.h"

namespace uhd::cuda {
namespace {

// Where the memory seems to lie: no address of this process or of a device.
void* nowhere() { return reinterpret_cast<void*>(uintptr_t{1} << 52); }  // NOLINT(performance-no-int-to-ptr)

class NoReadback final : public uhd::Readback {
 public:
  void begin(Tensor) override {}
  void begin_beside(Tensor) override {}
  bool ready() const override { return true; }
  Tensor wait() override { return {}; }
};

class NoMark final : public uhd::Mark {
 public:
  void set() override {}
  bool reached() const override { return true; }
};

}  // namespace

Rehearsal::Rehearsal(std::string description, DType activations, bool quantize_activations, size_t bytes)
    : description_(std::move(description)),
      activations_(activations),
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

void Rehearsal::download(Tensor, Tensor) { throw Error("a rehearsal has nothing to download"); }

std::unique_ptr<uhd::Readback> Rehearsal::make_readback(size_t) { return std::make_unique<NoReadback>(); }

std::unique_ptr<uhd::Mark> Rehearsal::make_mark() { return std::make_unique<NoMark>(); }

Weight Rehearsal::pack(Tensor host, WeightFormat format, Tensor) {
  Weight w{format, host.dim(0), host.dim(1), {}, {}};
  if (expected_rows_ > 0) {
    cover(scratch_, scratch_of(w.n, w.k, format, expected_rows_, activations_, quantize_activations_));
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
