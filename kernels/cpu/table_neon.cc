#include "kernels/cpu/make_table.h"
#include "kernels/cpu/vector_neon.h"

namespace uhd::cpu {

const Table kNeonTable = make_table<V>("neon");

}  // namespace uhd::cpu
