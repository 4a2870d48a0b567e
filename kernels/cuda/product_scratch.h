// Computes how much memory products need beside their operands, before any product runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/weight.h"

namespace uhd::cuda {

// The memory has these uses: x in the weight's type, a bias in out's type, sums on their way to out,
// quantized weights in bf16, quantized activations.
enum class ScratchUse : uint8_t { activations, biases, sums, expanded, codes };
constexpr size_t kScratchUses = 5;
using ProductScratch = std::array<size_t, kScratchUses>;

// The bytes of quantized weights in bf16, or of sums of codes, that exist at a time.
constexpr int64_t kPartBytes = int64_t{32} << 20;

// Returns how many outputs fit a part when each takes `bytes_each` of it.
int64_t outputs_at_once(int64_t n, int64_t bytes_each, int64_t part_bytes);

// Returns at least the bytes that Matmul takes for any product of 1 to `rows` rows with a packed [n,k], when
// activations are f32 or bf16 as given.
ProductScratch scratch_of(int64_t n, int64_t k, WeightFormat format, int64_t rows, DType activations,
                          bool quantize_activations);
// Makes `scratch` large enough for `other` too.
void cover(ProductScratch& scratch, const ProductScratch& other);

}  // namespace uhd::cuda
