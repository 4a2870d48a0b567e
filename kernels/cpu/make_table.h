// Makes the table of one instruction set from the loops over its vector type V.
#pragma once

#include "kernels/cpu/attention_loops.h"
#include "kernels/cpu/code_loops.h"
#include "kernels/cpu/matmul_loops.h"
#include "kernels/cpu/row_loops.h"

namespace uhd::cpu {
namespace {

template <class V>
constexpr Table make_table(const char* name) {
  return {.name = name,
          .native_bf16 = V::kNativeBf16,
          .tiles = false,
          .query_rows = 24,
          .panel_f32 = panel<V, F32Units<V>>,
          .panel_bf16 = panel<V, Bf16Units<V>>,
          .panel_fp8 = code_panel<V, Fp8Codes>,
          .panel_int8 = code_panel<V, Int8Codes>,
          .panel_int4 = code_panel<V, Int4Codes>,
          .panel_int8_codes = panel<V, Int8Units<V>>,
          .attend_f32 = attend<V, F32Units<V>>,
          .attend_bf16 = attend<V, Bf16Units<V>>,
          .to_bf16 = to_bf16<V>,
          .from_bf16 = from_bf16<V>,
          .to_int8 = to_int8<V>,
          .rms_norm = rms_norm<V>,
          .layer_norm = layer_norm<V>,
          .rope = rope<V>,
          .silu_mul = silu_mul<V>,
          .add = add<V>,
          .scale = scale<V>,
          .argmax = argmax<V>};
}

}  // namespace
}  // namespace uhd::cpu
