#include "base/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

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

// "max" or a number; absent outside control groups.
int64_t number_in(const char* path, int64_t otherwise) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : otherwise;
}

}  // namespace

int64_t available_memory() {
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max", kUnlimited);
  const int64_t host = from_meminfo();
  if (limit == kUnlimited) return host;
  const int64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
  return std::min(host, std::max<int64_t>(0, limit - used));
}

}  // namespace uhd
