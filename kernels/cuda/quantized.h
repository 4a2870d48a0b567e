// Lays out quantized weights on a device, and computes products with them. The caller checks shapes.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/quantize.h"

namespace uhd::cuda {

// Rows of codes in packets of 16 bytes: 16 codes of fp8 or int8, or a group of int4; what lies beyond K is
// zero. A word of int4 holds eight codes, each + 8: code 2i at bit 4i and code 2i+1 at bit 16 + 4i, so that
// neighbours become a pair of bfloat16 by a mask. Scales: f32 [N], of int4 bfloat16 [N, packets].
constexpr int64_t kPacketBytes = 16;
constexpr int64_t codes_of_packet(WeightFormat format) { return format == WeightFormat::int4 ? kGroup : 16; }
constexpr int64_t packets_of(int64_t k, WeightFormat format) {
  return (k + codes_of_packet(format) - 1) / codes_of_packet(format);
}

// cuBLASLt takes products of codes with codes where every size and every address is a multiple of 16: columns
// are by the packets, and memory of fp8 and int8 is held for whole sixteens of rows. Nothing reads rows
// beyond N.
constexpr int64_t kCodesUnit = 16;
constexpr int64_t whole_units(int64_t rows) { return (rows + kCodesUnit - 1) / kCodesUnit * kCodesUnit; }
constexpr int64_t rows_held(int64_t n, WeightFormat format) {
  return format == WeightFormat::int4 ? n : whole_units(n);
}

// The most rows of x that few_rows_matmul takes.
constexpr int64_t kFewRows = 32;

// out [T,N] = x [T,·] · wᵀ + bias, and what was in out where `add`: decoding, each code read once. Tensor
// cores over codes that become bfloat16 in registers, sums in f32, row scales at the end. x bf16, its rows
// aligned to 16 bytes and readable up to whole packets, values there finite; bias f32 or empty; out f32 or
// bf16.
void few_rows_matmul(cudaStream_t stream, Tensor out, Tensor x, const Weight& w, Tensor bias, bool add);

// out bf16 [count, K], rows spaced by whole packets, = code · scale of the rows from `first` on: exact but
// for int8, which is rounded. The columns beyond K are written too.
void expand(cudaStream_t stream, Tensor out, const Weight& w, int64_t first);

}  // namespace uhd::cuda
