#include "kernels/cpu/backend.h"

#include <sched.h>

#include <cstring>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/memory.h"

namespace uhd::cpu {
namespace {

// The cores this process may use: fewer than the machine's when it is bound, as by mpirun.
int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// No work is under way, so the copy is made at once.
class HostReadback final : public Readback {
 public:
  explicit HostReadback(size_t bytes) : memory_(bytes) {}
  void begin(Tensor device) override {
    check(device.dense() && device.bytes() <= memory_.size(), "a readback of ", memory_.size(), " bytes for ",
          device.bytes());
    std::memcpy(memory_.data(), device.raw(), device.bytes());
    values_ = Tensor(memory_.data(), device.dtype(), device.shape());
  }
  void begin_beside(Tensor device) override { begin(device); }
  bool ready() const override { return true; }
  Tensor wait() override { return values_; }

 private:
  std::vector<std::byte> memory_;
  Tensor values_;
};

class HostMark final : public Mark {
 public:
  void set() override {}
  bool reached() const override { return true; }
};

}  // namespace

Backend::Backend(const BackendOptions& options)
    : table_(choose_table(options.isa)),
      bf16_attention_(options.compute == WeightFormat::bf16),
      pool_(options.threads == 0 ? usable_cores() : options.threads) {}

std::string Backend::description() const {
  return message("cpu ", table_.name, ", ", pool_.size(), pool_.size() == 1 ? " thread" : " threads");
}

std::unique_ptr<Readback> Backend::make_readback(size_t bytes) {
  return std::make_unique<HostReadback>(bytes);
}

std::unique_ptr<Mark> Backend::make_mark() { return std::make_unique<HostMark>(); }

DeviceBuffer Backend::allocate(size_t bytes) {
  void* data = allocate_memory(bytes);
  allocated_ += bytes;
  return DeviceBuffer(*this, data, bytes);
}

void Backend::release(void* data, size_t bytes) noexcept {
  release_memory(data, bytes);
  allocated_ -= bytes;
}

void Backend::do_upload(Tensor device, Tensor host) {
  if (host.bytes() != 0) std::memcpy(device.raw(), host.raw(), host.bytes());
}

void Backend::do_download(Tensor host, Tensor device) {
  if (host.bytes() != 0) std::memcpy(host.raw(), device.raw(), host.bytes());
}

}  // namespace uhd::cpu
