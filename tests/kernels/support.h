// What the tests of the operations share: every available instruction set and several thread counts, seeded
// values with spaced rows, comparison with the reference.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/reference/ops.h"

namespace uhd {

struct BackendCase {
  std::string isa;
  int threads;
};
std::vector<BackendCase> backend_cases();
std::string case_name(const testing::TestParamInfo<BackendCase>& info);

// Seeded normal values in a host tensor whose rows are `gap` elements further apart than they are long. The
// gaps hold NaN: who reads one shows it, who writes one is found by untouched().
class Rows {
 public:
  Rows(Shape shape, int64_t gap = 0, float deviation = 1.0f);

  operator Tensor() const { return tensor_; }  // NOLINT(google-explicit-constructor)
  Tensor tensor() const { return tensor_; }
  float& at(int64_t row, int64_t column) { return values_[row * tensor_.row_stride() + column]; }
  bool untouched() const;
  reference::Values values() const;

 private:
  std::vector<float> values_;
  Tensor tensor_;
};

// A dense i32 tensor over a vector.
Tensor indices(const std::vector<int32_t>& values);

// |out − want| <= tolerance · (1 + |want|) everywhere.
void expect_close(Tensor out, const reference::Values& want, double tolerance);

class Operations : public testing::TestWithParam<BackendCase> {
 protected:
  Operations() : backend_(make(WeightFormat::f32)) {}
  std::unique_ptr<Backend> make(WeightFormat compute) const {
    return make_backend(
        {.kind = "cpu", .threads = GetParam().threads, .isa = GetParam().isa, .compute = compute});
  }
  std::unique_ptr<Backend> backend_;
};

#define UHD_FOR_EVERY_BACKEND(Suite) \
  INSTANTIATE_TEST_SUITE_P(Cpu, Suite, testing::ValuesIn(backend_cases()), case_name)

}  // namespace uhd
