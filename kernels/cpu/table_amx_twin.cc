#include "kernels/cpu/amx_twin.h"
#include "kernels/cpu/make_tile_table.h"
#include "kernels/cpu/vector_scalar.h"

namespace uhd::cpu {

const Table kAmxTwinTable = make_tile_table<V>("amx_twin");

}  // namespace uhd::cpu
