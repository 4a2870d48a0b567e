#include "kernels/cpu/make_table.h"
#include "kernels/cpu/vector_avx512.h"

namespace uhd::cpu {

const Table kAvx512Table = make_table<V>("avx512");

}  // namespace uhd::cpu
