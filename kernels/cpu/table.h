// A Table holds the serial loops of one instruction set, as functions that are chosen once at run time.
//
// Matmul and attention form products of 4-byte units: a unit is a float, or a pair of bfloat16 that are
// neighbours along the summed dimension; the loops are the same for both. An operand B of [K,N] is stored as
// [K or K/2 units][columns]; an operand A as rows of units.
//
// Every sum over K runs in ascending order in one accumulator per output, so a row's result does not depend
// on the rows computed beside it, on tiling or on threads. By tiles (amx_matmul.h) the same holds with 32
// elements of K at a time. Products of codes with codes are exact integers below kMostCodes, the same in
// every table.
#pragma once

#include <cstdint>

#include "kernels/epilogue.h"

namespace uhd::cpu {

constexpr int kPanel = 64;               // columns of one panel of packed weights
constexpr int kPanelRows = 288;          // the most rows of one PanelJob
constexpr int kBlockKeys = 256;          // keys of one softmax block
constexpr int kQueryRows = 32;           // the most query rows that share one pass over keys and values
constexpr int64_t kMostCodes = 1 << 17;  // K stays below it: sums of that many products of codes fit 32 bits
constexpr int kGroupUnits = 16;          // units that share a scale in int4

// RowCodes describe the codes of one row of activations (to_int8).
struct RowCodes {
  float scale;
  int32_t sum;  // the sum of the row's codes
};

// Computes out [rows, columns] = x · panel + bias, then the epilogue; rows <= kPanelRows, columns <= kPanel.
// It prefetches a little past the panel's end.
struct PanelJob {
  float* out;
  int64_t out_stride;  // floats from a row to the next
  const void* x;       // rows of units; where Table::tiles: [row tiles][units / 16][16 rows][16 units]
  int64_t x_stride;    // units from a row to the next; where Table::tiles: from a row tile
  const void* panel;   // laid out by PanelLayout; a code is a byte, or a nibble that holds code + 8
  int64_t units;       // units of a row of x; where Table::tiles: a multiple of 16
  int64_t rows;
  int64_t columns;
  const float* bias;  // the bias of this panel, or null
  Epilogue epilogue;
  const void* scales;  // f32 [kPanel] for this panel's codes; int4: bfloat16 [units / kGroupUnits][kPanel]
  const RowCodes* row_codes = nullptr;  // one for each row, where x holds codes
};

// A KeyBlock holds keys and values of one softmax block: `blocks` pieces of `width` keys each (the last may
// be partly used).
struct KeyBlock {
  const void* const* k;  // each [D units][width]
  const void* const* v;  // each [width in units][v_stride]
  const void*
      v_last;         // the last row of units for pairs and odd keys, whose second halves are zero; else null
  int64_t width;      // a multiple of 16
  int64_t v_stride;   // units from a row to the next; a multiple of 16, at least D
  int64_t keys;       // keys in use, <= kBlockKeys
  int64_t first_key;  // the position of the block's first key
};

// An AttentionState is the running softmax of up to kQueryRows rows.
struct AttentionState {
  const void* q;     // [rows][q_stride] units
  int64_t q_stride;  // D in units, rounded up to even
  int64_t q_units;   // D in units
  int64_t rows;
  const int64_t* limit;  // row r sees keys below limit[r]
  float* sums;           // [rows][v_stride]
  float* maxima;         // [rows]
  float* totals;         // [rows]
  float scale;
};

struct Table {
  const char* name;
  bool native_bf16;  // the processor multiplies bfloat16 itself
  bool tiles;        // weights of products and their x lie in tiles, except for f32
  int query_rows;    // query rows of a task of attention

  void (*panel_f32)(const PanelJob&);
  void (*panel_bf16)(const PanelJob&);
  void (*panel_fp8)(const PanelJob&);
  void (*panel_int8)(const PanelJob&);
  void (*panel_int4)(const PanelJob&);
  void (*panel_int8_codes)(const PanelJob&);  // x holds codes as well, in units of four
  void (*attend_f32)(const AttentionState&, const KeyBlock&);
  void (*attend_bf16)(const AttentionState&, const KeyBlock&);

  void (*to_bf16)(uint16_t* out, const float* x, int64_t n);
  void (*from_bf16)(float* out, const uint16_t* x, int64_t n);
  // Writes x ≈ code · scale: scale = m / 127 and code = x · (127 / m) to nearest even, m the largest |x|. A
  // row with m below 1e-30 is zero; one that is not finite has the scale NaN and codes 0.
  RowCodes (*to_int8)(int8_t* out, const float* x, int64_t n);
  void (*rms_norm)(float* out, const float* x, const float* w, int64_t n, float eps);
  void (*layer_norm)(float* out, const float* x, const float* w, const float* b, int64_t n, float eps);
  void (*rope)(float* x, const float* cosines, const float* sines, int64_t half);
  void (*silu_mul)(float* out, const float* gate, const float* up, int64_t n);
  void (*add)(float* out, const float* a, const float* b, int64_t n);
  void (*scale)(float* out, const float* x, float factor, int64_t n);
  // Returns the first place of the largest of n >= 1 values.
  int64_t (*argmax)(const float* x, int64_t n);
};

extern const Table kScalarTable;
extern const Table kAvx2Table;
extern const Table kAvx512Table;
extern const Table kAvx512Bf16Table;
extern const Table kAmxTable;
extern const Table kNeonTable;
extern const Table kNeonBf16Table;
extern const Table kAmxTwinTable;        // kAmxTable's loops on any processor; slow, for tests
extern const Table kAmxTwinAvx512Table;  // all of kAmxTable but its tile instructions; slow, for tests

}  // namespace uhd::cpu
