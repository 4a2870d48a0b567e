// How much memory the pages may take when nobody said.
#pragma once

#include <cstdint>

namespace uhd {

// Bytes of host memory that could be taken now without pushing others out, within the limit of this
// program's control group.
int64_t available_memory();

}  // namespace uhd
