// Turns activations into codes with one scale for each row, for products of codes with codes, and scales the
// sums of such products. The caller checks shapes.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/quantized.h"

namespace uhd::cuda {

// Rows of x [T,K] (f32 or bf16, spaced) as x ≈ code · scale, found as they come: codes u8 [R,C], dense and
// aligned to 16 bytes, R >= T, C >= K in whole packets, a byte each as of the weights (kernels/quantize.h);
// scales f32 [R]. In f32: scale = m / most and code = x · (most / m), to nearest even, with m the largest |x|
// of the row and most = 448 (fp8) or 127 (int8). Everything beyond T and K is zero. Rows with m below 1e-30
// are zero; a row with a value that is not finite has the scale NaN and codes 0, so that its products are NaN
// as they would be without codes.
void quantize_rows(cudaStream_t stream, Tensor codes, Tensor scales, Tensor x, WeightFormat format);

// Computes out [T,N] = sums [T,N] · row_scales[t] · column_scales[n] + bias, plus the old out if `add`; in
// f32, rounded once. sums are f32 or i32, scales and bias (or empty) f32, out f32 or bf16.
void scale_sums(cudaStream_t stream, Tensor out, Tensor sums, Tensor row_scales, Tensor column_scales,
                Tensor bias, bool add);

}  // namespace uhd::cuda
