#include "kernels/cpu/make_table.h"
#include "kernels/cpu/vector_avx2.h"

namespace uhd::cpu {

const Table kAvx2Table = make_table<V>("avx2");

}  // namespace uhd::cpu
