// Makes the table of tiles from the loops over the vector type V and the Tiles of the including file.
#pragma once

#include "kernels/cpu/amx_attention.h"
#include "kernels/cpu/amx_matmul.h"
#include "kernels/cpu/make_table.h"

namespace uhd::cpu {
namespace {

// Products of floats, and all that is not a product, are those of V.
template <class V>
constexpr Table make_tile_table(const char* name) {
  Table table = make_table<V>(name);
  table.tiles = true;
  table.query_rows = kTileQueryRows;
  table.panel_bf16 = tile_panel<V, Sums::plain, StoredTiles>;
  table.panel_fp8 = tile_panel<V, Sums::scaled, ExpandedTiles<Fp8Codes>>;
  table.panel_int8 = tile_panel<V, Sums::scaled, ExpandedTiles<Int8Codes>>;
  table.panel_int4 = tile_panel<V, Sums::plain, ExpandedTiles<Int4Codes>>;
  table.panel_int8_codes = tile_panel<V, Sums::of_codes, StoredTiles>;
  table.attend_bf16 = attend_tiles<V>;
  return table;
}

}  // namespace
}  // namespace uhd::cpu
