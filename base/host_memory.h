// Tells how much host memory the KV pages may take when the configuration does not say.
#pragma once

#include <cstdint>

namespace uhd {

// Returns the bytes of host memory that can be taken now without pushing others out, within the limit of this
// program's control group.
int64_t available_memory();

}  // namespace uhd
