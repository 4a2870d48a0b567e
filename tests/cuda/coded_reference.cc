#include "tests/cuda/coded_reference.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/quantize.h"

namespace uhd {
namespace {

double value_of(uint8_t code, WeightFormat format) {
  return format == WeightFormat::fp8 ? from_e4m3(code) : static_cast<int8_t>(code);
}

double applied(Epilogue epilogue, double sum, double before) {
  switch (epilogue) {
    case Epilogue::gelu:
      return sum / 2 * (1 + std::erf(sum / std::sqrt(2.0)));
    case Epilogue::gelu_tanh:
      return sum / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
    case Epilogue::quick_gelu:
      return sum / (1 + std::exp(-1.702 * sum));
    case Epilogue::add:
      return before + sum;
    case Epilogue::none:
      break;
  }
  return sum;
}

}  // namespace

Matrix numbers(int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Matrix matrix{rows, columns, std::vector<float>(static_cast<size_t>(rows * columns))};
  for (float& v : matrix.values) v = static_cast<float>(bf16(normal(random)));
  return matrix;
}

Coded coded(const Matrix& x, WeightFormat format) {
  const bool fp8 = format == WeightFormat::fp8;
  const float most = fp8 ? 448.0f : 127.0f;
  Coded all;
  for (int64_t row = 0; row < x.rows; ++row) {
    float largest = 0, sum = 0;
    for (int64_t i = 0; i < x.columns; ++i) {
      largest = std::max(largest, std::abs(x.at(row, i)));
      sum += x.at(row, i) * 0.0f;
    }
    const bool encoded = std::isfinite(sum) && largest >= 1e-30f;
    all.scales.push_back(encoded ? largest / most : sum);
    for (int64_t i = 0; i < x.columns; ++i) {
      const float code = encoded ? x.at(row, i) * (most / largest) : 0.0f;
      all.codes.push_back(fp8 ? to_e4m3(code)
                              : static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(code))));
    }
  }
  return all;
}

std::vector<double> product_of_codes(const Matrix& x, const Matrix& w, const Matrix& bias,
                                     WeightFormat format, Epilogue epilogue, const Matrix& before) {
  const Coded codes = coded(x, format);
  RowQuantizer weights(w.tensor(), {}, format);
  std::vector<double> out(static_cast<size_t>(x.rows * w.rows));
  for (int64_t n = 0; n < w.rows; ++n) {
    weights.quantize(n);
    for (int64_t t = 0; t < x.rows; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < x.columns; ++k) {
        sum += value_of(codes.codes[static_cast<size_t>(t * x.columns + k)], format) *
               value_of(weights.codes()[static_cast<size_t>(k)], format);
      }
      sum *= static_cast<double>(codes.scales[static_cast<size_t>(t)]) * weights.scales()[0];
      if (bias.rows != 0) sum += bias.at(0, n);
      const auto at = static_cast<size_t>(t * w.rows + n);
      out[at] = applied(epilogue, sum, before.rows == 0 ? 0 : before.values[at]);
    }
  }
  return out;
}

double worst(const Matrix& out, const std::vector<double>& want) {
  double largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(out.values[i] - want[i]) / (1 + std::abs(want[i]));
    largest = difference > largest || std::isnan(difference) ? difference : largest;
  }
  return largest;
}

}  // namespace uhd
