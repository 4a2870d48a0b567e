// Tells what the control groups of this process allow it (cgroups(7), version 2 or 1): containers and service
// managers limit processors and memory so. The kernel ends a process that takes more memory than that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace uhd {

struct GroupLimits {
  std::optional<double> cores;         // the quota: seconds of processor time a second
  std::optional<int64_t> memory_left;  // bytes until the limit; file pages that can be dropped count as left
};

// Reads the group of this process and those above it, and returns the tightest limits. A file that cannot
// be read limits nothing. `root` is where /proc and /sys lie, for tests.
GroupLimits group_limits(const std::filesystem::path& root = "/");

}  // namespace uhd
