// Defines every operation of Backend in naive double precision: all backends are tested against this. Inputs
// are host tensors, whose rows may be spaced; results are dense and row-major.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/draw.h"

namespace uhd::reference {

using Values = std::vector<double>;

double element(Tensor t, int64_t row, int64_t column);  // `column` counts within the row, whatever its rank

// Returns the values that a quantized format makes of w (kernels/quantize.h), from nearest values found by
// trying.
Values dequantized(Tensor w, WeightFormat format);

// Rounds x and w to bfloat16 first if format is bf16; for quantized formats it rounds x and dequantizes w.
// `before` holds the values of out before the call, for Epilogue::add.
Values matmul(Tensor x, Tensor w, Tensor bias, Epilogue epilogue, WeightFormat format, const Values& before);
Values embed(Tensor table, std::span<const int32_t> ids, int64_t first_id);
Values rms_norm(Tensor x, Tensor w, double eps);
Values layer_norm(Tensor x, Tensor w, Tensor b, double eps);
// Norms each head of x [T,heads,D] with the same w [D].
Values head_norm(Tensor x, Tensor w, double eps);
Values rope(Tensor x, std::span<const int32_t> positions, Tensor table);
Values silu_mul(Tensor gate_up);
Values add(Tensor a, Tensor b);

// Returns one query row's attention over the first `keys` rows of k and v from row `first`, with head h of
// q's heads and kv_head of k's. Operands are rounded to bfloat16 first if format is bf16.
Values attention_row(Tensor q, int64_t row, int64_t h, Tensor k, Tensor v, int64_t first, int64_t keys,
                     int64_t kv_head, double scale, WeightFormat format);

Values patchify(std::span<const uint8_t> pixels, std::span<const PixelSlice> slices, int patch,
                const PatchNormalisation& normalisation);
// Returns the id that kernels/draw.h names, from all ids in their rank.
int32_t draw(std::span<const float> logits, const Draw& how);
Values interpolate_positions(Tensor table, int h, int w);
Values region_align(Tensor x, const AlignGrid& grid);

}  // namespace uhd::reference
