// Takes pages from the system: zeroed, at least 64-byte aligned, and in huge pages if they are worth it.
#pragma once

#include <cstddef>

namespace uhd::cpu {

// allocate_memory throws an Error when the system has no more. Large areas cost memory only where they are
// touched. release_memory takes the number of bytes that were allocated.
void* allocate_memory(size_t bytes);
void release_memory(void* data, size_t bytes) noexcept;

}  // namespace uhd::cpu
