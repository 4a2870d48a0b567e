// The tests of the operations share this: the backends they run on, seeded values with spaced rows, and the
// comparison with the reference.
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
  std::string name;  // letters, digits, underscores
  BackendOptions options;
  std::string order;          // the order in which an emulated device runs its threads
  bool recovers = true;       // it works on after an index outside its tensor
  bool bits_of_a_row = true;  // a product gives a row the same bits whatever stands beside it
};
inline void PrintTo(const BackendCase& which, std::ostream* out) { *out << which.name; }  // NOLINT
// Each program of these tests defines its own: cpu_cases.cc, tests/cuda/cuda_cases.cc.
std::vector<BackendCase> backend_cases();
// Returns the cases that give a row the same bits whatever stands beside it.
std::vector<BackendCase> equal_bits_cases();
std::unique_ptr<Backend> make_backend(const BackendCase& which, WeightFormat compute);

std::string case_name(const testing::TestParamInfo<BackendCase>& info);

// Says that the running test's activations are bf16: Rows then holds such values, and expect_close allows for
// the rounding of results. The fixture sets it.
inline bool bf16_activations = false;

// Rows are seeded normal values in a host tensor whose rows are `gap` elements further apart than they are
// long. The gaps hold NaN: a reader of the gaps shows it in its results, and untouched() finds a writer.
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

// Returns a dense i32 tensor over a vector.
Tensor indices(const std::vector<int32_t>& values);

// Checks |out − want| <= tolerance · (1 + |want|) everywhere. With bf16 activations at least their rounding
// is allowed, unless equality (0) is asked for.
void expect_close(Tensor out, const reference::Values& want, double tolerance);

class OperationTest : public testing::TestWithParam<BackendCase> {
 protected:
  OperationTest() : backend_(make(WeightFormat::f32)) {
    bf16_activations = backend_->activation_dtype() == DType::bf16;
  }
  ~OperationTest() override { bf16_activations = false; }
  std::unique_ptr<Backend> make(WeightFormat compute) const { return make_backend(GetParam(), compute); }
  std::unique_ptr<Backend> backend_;
};

#define UHD_FOR_EVERY_BACKEND(Suite) \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(backend_cases()), case_name)

#define UHD_FOR_BACKENDS_OF_EQUAL_BITS(Suite)           \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Suite); \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(equal_bits_cases()), case_name)

}  // namespace uhd
