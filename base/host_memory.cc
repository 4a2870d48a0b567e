#include "base/host_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <span>
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

bool relocates_text(const dl_phdr_info& loaded) {
  for (const auto& part : std::span(loaded.dlpi_phdr, loaded.dlpi_phnum)) {
    if (part.p_type != PT_DYNAMIC) continue;
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(loaded.dlpi_addr + part.p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_TEXTREL) return true;
      if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
    }
  }
  return false;
}

// Lets the pages go of what a program or library only reads, such as the tables of symbols and relocations
// that its start went through. They come back from the file where they are read again. Code stays: a debugger
// or MPI may have written into it. So does an object whose relocations were written into what it only reads.
int drop_constants(dl_phdr_info* loaded, size_t, void*) {
  if (relocates_text(*loaded)) return 0;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const auto& part : std::span(loaded->dlpi_phdr, loaded->dlpi_phnum)) {
    if (part.p_type != PT_LOAD || (part.p_flags & (PF_W | PF_X)) != 0) continue;
    const uintptr_t begin = (loaded->dlpi_addr + part.p_vaddr + page - 1) / page * page;
    const uintptr_t end = (loaded->dlpi_addr + part.p_vaddr + part.p_memsz) / page * page;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
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

void give_back_what_start_took() {
  give_back_freed_memory();
  ::dl_iterate_phdr(drop_constants, nullptr);
}

}  // namespace uhd
