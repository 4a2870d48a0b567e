// Sizes of memory as people read them. Inline, because programs and the CUDA plugin both print them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace uhd {

// Returns "12.6 GiB", "3.1 MiB", "64.0 KiB".
inline std::string bytes_text(int64_t bytes) {
  const char* unit = "KiB";
  auto count = static_cast<double>(bytes) / 1024;
  for (const char* larger : {"MiB", "GiB"}) {
    if (count < 1024) break;
    count /= 1024;
    unit = larger;
  }
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %s", count, unit);
  return text;
}

}  // namespace uhd
