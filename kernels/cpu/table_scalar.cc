#include "kernels/cpu/make_table.h"
#include "kernels/cpu/vector_scalar.h"

namespace uhd::cpu {

const Table kScalarTable = make_table<V>("scalar");

}  // namespace uhd::cpu
