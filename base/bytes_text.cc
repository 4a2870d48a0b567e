#include "base/bytes_text.h"

#include <array>
#include <cstdio>

namespace uhd {

std::string bytes_text(int64_t bytes) {
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
