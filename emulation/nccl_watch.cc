#include "emulation/nccl_watch.h"

#include <memory>
#include <mutex>

namespace uhd::emulation {
namespace {

std::mutex mutex;
std::shared_ptr<const NcclWatch> current;
bool tells_of_the_lost = false;
NcclHoldings held;

}  // namespace

void watch_nccl(NcclWatch watch) {
  const std::lock_guard lock(mutex);
  current = watch ? std::make_shared<const NcclWatch>(std::move(watch)) : nullptr;
}

// The lock is not held here, so that other calls go on while one is held up.
void nccl_called(std::string_view call) {
  std::shared_ptr<const NcclWatch> watch;
  {
    const std::lock_guard lock(mutex);
    watch = current;
  }
  if (watch) (*watch)(call);
}

void set_nccl_tells_of_the_lost(bool told) {
  const std::lock_guard lock(mutex);
  tells_of_the_lost = told;
}
bool nccl_tells_of_the_lost() {
  const std::lock_guard lock(mutex);
  return tells_of_the_lost;
}

NcclHoldings nccl_holdings() {
  const std::lock_guard lock(mutex);
  return held;
}
void nccl_holds(const NcclHoldings& more) {
  const std::lock_guard lock(mutex);
  held.communicators += more.communicators;
  held.ids += more.ids;
  held.threads += more.threads;
}

}  // namespace uhd::emulation
