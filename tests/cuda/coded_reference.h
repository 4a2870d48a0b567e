// Computes products of quantized activations by their definition (kernels/cuda/quantized_activations.h), on
// the host.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace uhd {

// A Matrix is row-major; an empty one has no rows.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> values{};
  float& at(int64_t row, int64_t column) { return values[static_cast<size_t>(row * columns + column)]; }
  float at(int64_t row, int64_t column) const { return values[static_cast<size_t>(row * columns + column)]; }
  Tensor tensor() const { return Tensor::of(values.data(), {rows, columns}); }
};

// Returns seeded normal values that bfloat16 holds, so that activations of both types are the same.
Matrix numbers(int64_t rows, int64_t columns, uint32_t seed);

struct Coded {
  std::vector<uint8_t> codes;  // [rows, K]
  std::vector<float> scales;
};
Coded coded(const Matrix& x, WeightFormat format);

// Returns the sums of codes in double (exact for int8), with scales, bias and epilogue in double.
std::vector<double> product_of_codes(const Matrix& x, const Matrix& w, const Matrix& bias,
                                     WeightFormat format, Epilogue epilogue, const Matrix& before);

// Returns the largest |out − want| / (1 + |want|); NaN is the largest of all.
double worst(const Matrix& out, const std::vector<double>& want);

}  // namespace uhd
