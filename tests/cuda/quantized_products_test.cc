// Tests the backend's products of codes with codes, emulated or on a GPU; a GPU before sm_89 says that it has
// none of fp8.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "kernels/plugin.h"
#include "tests/cuda/coded_reference.h"

namespace uhd {
namespace {

class QuantizedProductsOnDevice : public testing::TestWithParam<WeightFormat> {};

TEST_P(QuantizedProductsOnDevice, EqualTheReference) {
  const auto backend =
      make_cuda_backend({.kind = "cuda", .quantize_activations = true, .compute = WeightFormat::f32});
  for (const auto& [t, k, n] : {std::tuple<int64_t, int64_t, int64_t>{33, 40, 17}, {130, 256, 144}}) {
    SCOPED_TRACE(testing::Message() << t << "x" << k << "x" << n);
    const Matrix x = numbers(t, k, 1), w = numbers(n, k, 2), bias = numbers(1, n, 3);
    Matrix found = numbers(t, n, 4);
    Weight weight;
    try {
      weight = backend->pack(w.tensor(), GetParam());
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("needs a device of sm_89 or later"));
      return;
    }
    const auto put = [&](const Matrix& matrix) {
      DeviceBuffer buffer = backend->allocate(matrix.values.size() * sizeof(float));
      backend->upload(buffer.as(DType::f32, {matrix.rows, matrix.columns}), matrix.tensor());
      return buffer;
    };
    const DeviceBuffer in = put(x), out = put(found), added = put(bias);
    const Tensor result = out.as(DType::f32, {t, n});
    backend->matmul(result, in.as(DType::f32, {t, k}), weight, {.bias = added.as(DType::f32, {n})});
    backend->download(found.tensor(), result);
    // Tensor cores may add products of e4m3 with fewer bits than f32 has; of Hopper some 14 are reported.
    const double tolerance =
        GetParam() == WeightFormat::fp8 ? 0x1p-13 * std::sqrt(static_cast<double>(k)) : 2e-5;
    EXPECT_LT(worst(found, product_of_codes(x, w, bias, GetParam(), Epilogue::none, {})), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedProductsOnDevice,
                         testing::Values(WeightFormat::fp8, WeightFormat::int8),
                         [](const auto& format) { return std::string(name_of(format.param)); });

}  // namespace
}  // namespace uhd
