#include "kernels/cpu/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace uhd::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void* allocate_memory(size_t bytes) {
  check(bytes <= SIZE_MAX / 2, "an allocation of ", bytes, " bytes");
  void* data = nullptr;
  if (bytes < kHugePage) {
    const size_t size = rounded(bytes == 0 ? 1 : bytes, 64);
    data = std::aligned_alloc(64, size);
    if (data != nullptr) std::memset(data, 0, size);
  } else {
    // Weights and pages are read from end to end: with small pages the walk of the page table costs a tenth.
    data = std::aligned_alloc(kHugePage, rounded(bytes, kHugePage));
    if (data != nullptr) {
      madvise(data, rounded(bytes, kHugePage), MADV_HUGEPAGE);
      std::memset(data, 0, bytes);
    }
  }
  require(data != nullptr, "no memory for ", bytes, " bytes");
  return data;
}

void release_memory(void* data, size_t) noexcept { std::free(data); }

}  // namespace uhd::cpu
