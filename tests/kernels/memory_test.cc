// Tests how much memory the CPU backend's buffers take of the system.
#include "kernels/cpu/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <vector>

namespace uhd {
namespace {

int64_t resident() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, pages = 0;
  file >> size >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// Matrices of small models are a little more than one huge page of 2 MiB.
TEST(CpuMemory, OfABufferIsNoMoreThanItsBytes) {
  constexpr size_t kBytes = (size_t{2} << 20) + (size_t{100} << 10);
  constexpr int kBuffers = 24;
  std::vector<void*> buffers;
  const int64_t before = resident();
  for (int i = 0; i < kBuffers; ++i) {
    buffers.push_back(cpu::allocate_memory(kBytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffers.back()) % 64, 0U);
    EXPECT_EQ(static_cast<const char*>(buffers.back())[kBytes - 1], 0);
    std::memset(buffers.back(), 1, kBytes);
  }
  const int64_t taken = resident() - before;
  EXPECT_GE(taken, int64_t{kBytes} * kBuffers);
  EXPECT_LE(taken, int64_t{kBytes} * kBuffers + (int64_t{4} << 20));
  for (void* buffer : buffers) cpu::release_memory(buffer, kBytes);
  EXPECT_LE(resident() - before, int64_t{4} << 20);
}

TEST(CpuMemory, IsTakenWhereItIsTouched) {
  constexpr size_t kBytes = size_t{256} << 20;
  const int64_t before = resident();
  void* const buffer = cpu::allocate_memory(kBytes);
  static_cast<char*>(buffer)[0] = 1;
  static_cast<char*>(buffer)[kBytes - 1] = 1;
  EXPECT_LE(resident() - before, int64_t{8} << 20);
  cpu::release_memory(buffer, kBytes);
}

// Buffers of rows on their way are such.
TEST(CpuMemory, IsTakenWhereItIsTouchedThoughABufferIsSmall) {
  constexpr size_t kBytes = size_t{512} << 10;
  constexpr int kBuffers = 64;
  std::vector<void*> buffers;
  const int64_t before = resident();
  for (int i = 0; i < kBuffers; ++i) {
    buffers.push_back(cpu::allocate_memory(kBytes));
    EXPECT_EQ(static_cast<const char*>(buffers.back())[kBytes - 1], 0);
  }
  EXPECT_LE(resident() - before, int64_t{8} << 20);
  for (void* buffer : buffers) cpu::release_memory(buffer, kBytes);
}

}  // namespace
}  // namespace uhd
