#include "base/host_memory.h"

#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/control_group.h"

namespace uhd {

namespace {

constexpr int64_t kFallback = int64_t{1} << 30;

int64_t from_meminfo() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  std::string unit;
  while (file >> key >> kib && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return kFallback;
}

}  // namespace

int64_t available_memory() {
  const int64_t host = from_meminfo();
  return std::min(host, group_limits().memory_left.value_or(host));
}

// The size must be said: else the first large block that is freed raises it beyond all others.
void keep_large_blocks_apart() { ::mallopt(M_MMAP_THRESHOLD, 256 << 10); }

void give_back_freed_memory() {
// A sanitizer allocates by itself, so that this would be glibc's first call. Two threads that make it at once
// find the allocator half begun.
#if !defined(UHD_SANITIZED)
  ::malloc_trim(0);
#endif
}

}  // namespace uhd
