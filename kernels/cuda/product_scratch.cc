#include "kernels/cuda/product_scratch.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/quantized.h"

namespace uhd::cuda {
namespace {

size_t bytes_of(int64_t count, size_t each) { return static_cast<size_t>(count) * each; }
size_t& of(ProductScratch& scratch, ScratchUse use) { return scratch[static_cast<size_t>(use)]; }

void add_plain(ProductScratch& scratch, int64_t n, int64_t k, WeightFormat format, int64_t rows,
               DType activations) {
  const DType element = format == WeightFormat::f32 ? DType::f32 : DType::bf16;
  if (element == activations) return;
  of(scratch, ScratchUse::activations) = bytes_of(rows * k, size_of(element));
  if (element == DType::f32) of(scratch, ScratchUse::sums) = bytes_of(rows * n, sizeof(float));
}

// Codes of x, then their scales; sums of one part of the outputs, which is largest at the most rows.
void add_codes(ProductScratch& scratch, int64_t n, int64_t columns, int64_t rows) {
  const int64_t whole = whole_units(rows), row_bytes = whole * static_cast<int64_t>(sizeof(float));
  of(scratch, ScratchUse::codes) =
      std::bit_ceil(bytes_of(whole, static_cast<size_t>(columns) + sizeof(float)));
  const int64_t part = std::max(kPartBytes, 128 * row_bytes);
  of(scratch, ScratchUse::sums) =
      std::bit_ceil(static_cast<size_t>(std::min(whole_units(n) * row_bytes, part)));
}

void add_expanded(ProductScratch& scratch, int64_t n, int64_t columns) {
  const int64_t row_bytes = columns * static_cast<int64_t>(sizeof(bf16));
  of(scratch, ScratchUse::expanded) =
      static_cast<size_t>(outputs_at_once(n, row_bytes, kPartBytes) * row_bytes);
}

}  // namespace

int64_t outputs_at_once(int64_t n, int64_t bytes_each, int64_t part_bytes) {
  return std::min(n, std::max<int64_t>(1, part_bytes / bytes_each / 128) * 128);
}

ProductScratch scratch_of(int64_t n, int64_t k, WeightFormat format, int64_t rows, DType activations,
                          bool quantize_activations) {
  ProductScratch scratch{};
  if (activations == DType::bf16) of(scratch, ScratchUse::biases) = bytes_of(n, sizeof(bf16));
  if (!is_quantized(format)) {
    add_plain(scratch, n, k, format, rows, activations);
    return scratch;
  }
  const int64_t columns = packets_of(k, format) * codes_of_packet(format);
  const int64_t in_packets = std::min(rows, kFewRows) * columns;
  const int64_t converted = activations == DType::bf16 ? 0 : rows * k;
  of(scratch, ScratchUse::activations) = bytes_of(std::max(in_packets, converted), sizeof(bf16));
  if (rows <= kFewRows) return scratch;
  if (quantize_activations && format != WeightFormat::int4) {
    add_codes(scratch, n, columns, rows);
  } else {
    add_expanded(scratch, n, columns);
  }
  return scratch;
}

void cover(ProductScratch& scratch, const ProductScratch& other) {
  for (size_t i = 0; i < kScratchUses; ++i) scratch[i] = std::max(scratch[i], other[i]);
}

}  // namespace uhd::cuda
