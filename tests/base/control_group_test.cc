#include "base/control_group.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

class ControlGroup : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const auto file = root_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  GroupLimits limits() const { return group_limits(root_.path()); }

  TemporaryDirectory root_;
};

TEST_F(ControlGroup, LimitsNothingWhereThereIsNone) {
  EXPECT_FALSE(limits().cores);
  EXPECT_FALSE(limits().memory_left);
  write("proc/self/cgroup", "0::/user.slice\nnonsense\n");
  write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/user.slice/memory.max", "max\n");
  write("sys/fs/cgroup/user.slice/memory.current", "4096\n");
  EXPECT_FALSE(limits().cores);
  EXPECT_FALSE(limits().memory_left);
}

TEST_F(ControlGroup, TakesTheTightestOfVersionTwo) {
  write("proc/self/cgroup", "0::/a.slice/b.scope\n");
  write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/a.slice/b.scope/memory.max", "1000000\n");
  write("sys/fs/cgroup/a.slice/b.scope/memory.current", "300000\n");
  write("sys/fs/cgroup/a.slice/b.scope/memory.stat", "anon 1\ninactive_file 50000\nactive_file 7\n");
  write("sys/fs/cgroup/a.slice/memory.max", "2000000\n");
  write("sys/fs/cgroup/a.slice/memory.current", "1990000\n");
  EXPECT_EQ(limits().cores, 1.5);
  EXPECT_EQ(limits().memory_left, 10000);
  write("sys/fs/cgroup/a.slice/memory.current", "300000\n");
  EXPECT_EQ(limits().memory_left, 750000);
  write("sys/fs/cgroup/a.slice/memory.current", "2100000\n");
  EXPECT_EQ(limits().memory_left, 0) << "a limit that was lowered meanwhile";
}

TEST_F(ControlGroup, ReadsTheTopOfTheMountInsideAContainer) {
  for (const char* path : {"/", "/../../docker/0123", "/docker/0123"}) {
    write("proc/self/cgroup", std::string("0::") + path + "\n");
    write("sys/fs/cgroup/cpu.max", "50000 100000\n");
    write("sys/fs/cgroup/memory.max", "5000\n");
    write("sys/fs/cgroup/memory.current", "1000\n");
    EXPECT_EQ(limits().cores, 0.5) << path;
    EXPECT_EQ(limits().memory_left, 4000) << path;
  }
}

TEST_F(ControlGroup, ReadsVersionOne) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n3:cpuset:/other\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "200000\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9000\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4000\n");
  write("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
  EXPECT_EQ(limits().cores, 2.0);
  EXPECT_EQ(limits().memory_left, 6000);
}

}  // namespace
}  // namespace uhd
