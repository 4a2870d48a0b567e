#include "kernels/cpu/backend.h"

#include <sched.h>

#include <cstring>

#include "base/bytes_text.h"
#include "base/control_group.h"
#include "base/log.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/memory.h"

namespace uhd::cpu {
namespace {

// The cores this process may use: fewer than the machine's when it is bound, as by mpirun, or when its
// control group has a quota. A part of a core counts for nothing, because a thread beyond the quota would
// hold up the others for as long as it is stopped.
int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const double quota = group_limits().cores.value_or(CPU_SETSIZE);
  return std::max(1, std::min(CPU_COUNT(&set), static_cast<int>(quota)));
}

// From here on an allocation asks for the limit of the control group: beyond it the kernel would end the
// process without a word.
constexpr size_t kLargeAllocation = size_t{1} << 20;

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

// Says once why the tiles of AMX are not used where the processor has them.
void tell_of_tiles() {
  static const bool told = [] {
    const std::string reason = why_no_tiles();
    if (reason.empty()) return false;
    log_warning("the system does not permit AMX, so the next instructions are used", "because", reason);
    return true;
  }();
  static_cast<void>(told);
}

}  // namespace

Backend::Backend(const BackendOptions& options) : Backend(options, choose_table(options.isa)) {}

Backend::Backend(const BackendOptions& options, const Table& table)
    : table_(table),
      bf16_attention_(options.compute == WeightFormat::bf16),
      quantize_activations_(options.quantize_activations),
      pool_(options.threads == 0 ? usable_cores() : options.threads) {
  if (options.isa == "auto") tell_of_tiles();
}

std::string Backend::description() const {
  return message("cpu ", table_.name, ", ", pool_.size(), pool_.size() == 1 ? " thread" : " threads");
}

std::unique_ptr<Readback> Backend::make_readback(size_t bytes) {
  return std::make_unique<HostReadback>(bytes);
}

std::unique_ptr<Mark> Backend::make_mark() { return std::make_unique<HostMark>(); }

DeviceBuffer Backend::allocate(size_t bytes) {
  if (bytes >= kLargeAllocation) {
    const std::optional<int64_t> left = group_limits().memory_left;
    if (left && static_cast<int64_t>(bytes) > *left)
      throw OutOfMemory(message("no memory for ", bytes_text(static_cast<int64_t>(bytes)),
                                ": the memory limit of this process's control group leaves ",
                                bytes_text(*left)));
  }
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
