// Sizes of memory as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace uhd {

// "12.6 GiB", "3.1 MiB", "64.0 KiB".
std::string bytes_text(int64_t bytes);

}  // namespace uhd
