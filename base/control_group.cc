#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>

namespace uhd {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = int64_t{1} << 60;  // version 1 writes a number near 2^63

// Returns the file's first number; nothing for "max", or where there is no file.
std::optional<int64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

std::optional<int64_t> named_number_in(const fs::path& path, std::string_view name) {
  std::ifstream file(path);
  std::string key;
  int64_t value = 0;
  while (file >> key >> value)
    if (key == name) return value;
  return std::nullopt;
}

template <class T>
void tighten(std::optional<T>& limit, T value) {
  limit = limit ? std::min(*limit, value) : value;
}

void read_cores(const fs::path& group, GroupLimits& limits) {
  std::ifstream file(group / "cpu.max");  // "quota period", or "max period"
  double quota = 0, period = 0;
  if (!(file >> quota >> period)) {
    quota = static_cast<double>(number_in(group / "cpu.cfs_quota_us").value_or(-1));
    period = static_cast<double>(number_in(group / "cpu.cfs_period_us").value_or(0));
  }
  if (quota > 0 && period > 0) tighten(limits.cores, quota / period);
}

void read_memory(const fs::path& group, GroupLimits& limits) {
  const bool second = fs::exists(group / "memory.max");
  const auto limit = number_in(group / (second ? "memory.max" : "memory.limit_in_bytes"));
  const auto used = number_in(group / (second ? "memory.current" : "memory.usage_in_bytes"));
  if (!limit || *limit >= kUnlimited || !used) return;
  const int64_t droppable =
      named_number_in(group / "memory.stat", second ? "inactive_file" : "total_inactive_file").value_or(0);
  tighten(limits.memory_left, std::max<int64_t>(0, *limit - *used + std::min(droppable, *used)));
}

// A group and those above it. In a container the path may be the host's, which is not seen there: then the
// mount's own top is the group.
template <class Read>
void read_upwards(const fs::path& mount, const fs::path& path, const Read& read) {
  std::error_code error;
  fs::path below = path.relative_path().lexically_normal();
  if (below.string().starts_with("..") || !fs::is_directory(mount / below, error)) below.clear();
  for (; !below.empty() && below != "."; below = below.parent_path()) read(mount / below);
  read(mount);
}

bool names(std::string_view list, std::string_view name) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

GroupLimits group_limits(const fs::path& root) {
  GroupLimits limits;
  const fs::path mounts = root / "sys/fs/cgroup";
  const auto cores = [&](const fs::path& group) { read_cores(group, limits); };
  const auto memory = [&](const fs::path& group) { read_memory(group, limits); };
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // "number:controllers:path"; version 2 has no controllers there
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    if (controllers.empty()) {
      read_upwards(mounts, path, cores);
      read_upwards(mounts, path, memory);
    }
    if (names(controllers, "cpu")) read_upwards(mounts / "cpu", path, cores);
    if (names(controllers, "memory")) read_upwards(mounts / "memory", path, memory);
  }
  return limits;
}

}  // namespace uhd
