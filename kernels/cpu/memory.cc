#include "kernels/cpu/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels/backend.h"

namespace uhd::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPage = 4096;

// A smaller block shares its pages with others.
constexpr size_t kOwnPages = size_t{64} << 10;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Weights and pages are read from end to end: with small pages the walk of the page table costs a tenth.
// Fresh pages are zero, and cost nothing until they are used: KV pages are many and most are never touched.
// A buffer's last part, which does not fill a huge page, lies in small ones: else a model of many small
// matrices would take a tenth more memory than they are.
void* map_pages(size_t bytes) {
  const size_t size = rounded(bytes, kPage);
  if (size < kHugePage) {
    void* small = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return small == MAP_FAILED ? nullptr : small;
  }
  void* mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(mapped);
  const size_t before =
      rounded(reinterpret_cast<uintptr_t>(start), kHugePage) - reinterpret_cast<uintptr_t>(start);
  if (before > 0) munmap(start, before);
  if (before < kHugePage) munmap(start + before + size, kHugePage - before);
  madvise(start + before, size / kHugePage * kHugePage, MADV_HUGEPAGE);
  return start + before;
}

}  // namespace

void* allocate_memory(size_t bytes) {
  check(bytes <= SIZE_MAX / 2, "an allocation of ", bytes, " bytes");
  void* data = nullptr;
  if (bytes < kOwnPages) {
    const size_t size = rounded(bytes == 0 ? 1 : bytes, 64);
    data = std::aligned_alloc(64, size);
    if (data != nullptr) std::memset(data, 0, size);
  } else {
    data = map_pages(bytes);
  }
  if (data == nullptr) throw OutOfMemory(message("no memory for ", bytes, " bytes"));
  return data;
}

void release_memory(void* data, size_t bytes) noexcept {
  if (bytes < kOwnPages) {
    std::free(data);
  } else {
    munmap(data, rounded(bytes, kPage));
  }
}

}  // namespace uhd::cpu
