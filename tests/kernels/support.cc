#include "tests/kernels/support.h"

#include <cmath>

namespace uhd {

std::string case_name(const testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

Rows::Rows(Shape shape, int64_t gap, float deviation) {
  static std::mt19937 random(20240311);
  std::normal_distribution<float> normal(0.0f, deviation);
  int64_t size = 1;
  for (int i = 1; i < shape.rank(); ++i) size *= shape[i];
  values_.assign(static_cast<size_t>(shape[0] * (size + gap)), std::nanf(""));
  tensor_ = Tensor(values_.data(), DType::f32, shape, size + gap);
  for (int64_t r = 0; r < shape[0]; ++r)
    for (int64_t i = 0; i < size; ++i) {
      const float value = normal(random);
      at(r, i) = bf16_activations ? static_cast<float>(bf16(value)) : value;
    }
}

bool Rows::untouched() const {
  for (int64_t r = 0; r < tensor_.rows(); ++r)
    for (int64_t i = tensor_.row_size(); i < tensor_.row_stride(); ++i)
      if (!std::isnan(values_[r * tensor_.row_stride() + i])) return false;
  return true;
}

reference::Values Rows::values() const {
  reference::Values out;
  for (int64_t r = 0; r < tensor_.rows(); ++r)
    for (int64_t i = 0; i < tensor_.row_size(); ++i) out.push_back(values_[r * tensor_.row_stride() + i]);
  return out;
}

Tensor indices(const std::vector<int32_t>& values) {
  return Tensor::of(values.data(), {static_cast<int64_t>(values.size())});
}

void expect_close(Tensor out, const reference::Values& want, double tolerance) {
  ASSERT_EQ(static_cast<size_t>(out.elements()), want.size());
  constexpr double kBf16 = 8e-3;  // two roundings of 8 bits
  if (bf16_activations && tolerance > 0) tolerance = std::max(tolerance, kBf16);
  double worst = 0;
  int64_t at = 0;
  for (int64_t i = 0; i < out.elements(); ++i) {
    const double got = reference::element(out, i / out.row_size(), i % out.row_size());
    const double error = std::abs(got - want[i]) / (1 + std::abs(want[i]));
    if (!(error <= worst)) {  // NaN is the worst of all
      worst = error;
      at = i;
      if (std::isnan(error)) break;
    }
  }
  EXPECT_LE(worst, tolerance) << "row " << at / out.row_size() << ", column " << at % out.row_size()
                              << ": got " << reference::element(out, at / out.row_size(), at % out.row_size())
                              << ", want " << want[at];
}

}  // namespace uhd
