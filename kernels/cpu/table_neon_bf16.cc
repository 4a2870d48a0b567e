#include "kernels/cpu/make_table.h"
#include "kernels/cpu/vector_neon.h"

namespace uhd::cpu {

const Table kNeonBf16Table = make_table<V>("neon_bf16");

}  // namespace uhd::cpu
