// Pages from the system: zeroed, 64-byte aligned at least, in huge pages where they are worth it.
#pragma once

#include <cstddef>

namespace uhd::cpu {

// Throws Error when the system has no more. Large areas cost memory only where they are touched. release
// takes the bytes that were asked for.
void* allocate_memory(size_t bytes);
void release_memory(void* data, size_t bytes) noexcept;

}  // namespace uhd::cpu
