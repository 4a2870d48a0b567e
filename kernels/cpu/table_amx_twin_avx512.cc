// The twin with the vectors of table amx around its tiles, so that all of that table but the tile
// instructions runs on a processor without them.
#include "kernels/cpu/amx_twin.h"
#include "kernels/cpu/make_tile_table.h"
#include "kernels/cpu/vector_avx512.h"

namespace uhd::cpu {

const Table kAmxTwinAvx512Table = make_tile_table<V>("amx_twin_avx512");

}  // namespace uhd::cpu
