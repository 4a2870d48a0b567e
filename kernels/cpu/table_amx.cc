#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/make_tile_table.h"
#include "kernels/cpu/vector_avx512.h"

namespace uhd::cpu {

const Table kAmxTable = make_tile_table<V>("amx");

}  // namespace uhd::cpu
