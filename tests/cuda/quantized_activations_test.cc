// Tests activations as codes: the codes themselves, products of codes with codes, and the calls that the
// stand-in for cuBLASLt refuses as the library does.
#include "kernels/cuda/quantized_activations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "kernels/cuda/backend.h"
#include "tests/cuda/coded_reference.h"

namespace uhd {
namespace {

using cuda::kCodesUnit;
using cuda::whole_units;

constexpr int kHopper = 90, kAmpere = 80;

// f32 sums of some hundred products; a bfloat16 result that is rounded by 2^-8 of itself, before an epilogue
// of slope 1.13 at most and after it.
double tolerance(DType out) { return out == DType::f32 ? 2e-5 : 2.13 * 0x1p-8; }

struct Case {
  std::string name;
  std::string order;
  WeightFormat format;
  DType dtype;
};

// One backend for all, since each takes its memory for scratch and staging.
class QuantizedActivations : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    emulation::set_architecture(kHopper);
    backend_.emplace(
        BackendOptions{.kind = "cuda", .quantize_activations = true, .compute = WeightFormat::f32});
  }
  static void TearDownTestSuite() {
    backend_.reset();
    emulation::set_architecture(kAmpere);
  }
  QuantizedActivations() { emulation::set_lane_order(emulation::order_named(GetParam().order), 7); }
  ~QuantizedActivations() override {
    emulation::check_guards();
    EXPECT_EQ(emulation::failure(), "");
    emulation::clear_failure();
    emulation::set_lane_order(emulation::order_named("forward"));
  }

  // Rows `gap` elements further apart than they are long.
  struct OnDevice {
    DeviceBuffer memory{};
    Tensor tensor{};
  };
  OnDevice put(const Matrix& matrix, DType dtype, int64_t gap = 0) {
    const int64_t stride = matrix.columns + gap;
    OnDevice put{backend_->allocate(static_cast<size_t>(matrix.rows * stride) * size_of(dtype))};
    put.tensor = Tensor(put.memory.data(), dtype, {matrix.rows, matrix.columns}, stride);
    const OnDevice dense{backend_->allocate(matrix.values.size() * sizeof(float))};
    const Tensor values = dense.memory.as(DType::f32, {matrix.rows, matrix.columns});
    backend_->upload(values, matrix.tensor());
    backend_->cast(put.tensor, values);
    backend_->synchronize();
    return put;
  }
  Matrix get(Tensor rows) {
    Matrix matrix{rows.rows(), rows.dim(1), std::vector<float>(static_cast<size_t>(rows.elements()))};
    const DeviceBuffer dense = backend_->allocate(matrix.values.size() * sizeof(float));
    const Tensor values = dense.as(DType::f32, {matrix.rows, matrix.columns});
    backend_->cast(values, rows);
    backend_->download(matrix.tensor(), values);
    return matrix;
  }
  Weight pack(const Matrix& w) { return backend_->pack(w.tensor(), GetParam().format, {}); }

  void compare(int64_t t, int64_t k, int64_t n, bool with_bias, Epilogue epilogue, int64_t gap) {
    SCOPED_TRACE(testing::Message() << t << "x" << k << "x" << n << ", epilogue "
                                    << static_cast<int>(epilogue) << ", gap " << gap);
    const Matrix x = numbers(t, k, 1), w = numbers(n, k, 2), before = numbers(t, n, 4);
    const Matrix bias = with_bias ? numbers(1, n, 3) : Matrix();
    const OnDevice in = put(x, GetParam().dtype, gap), out = put(before, GetParam().dtype, gap);
    const OnDevice added = with_bias ? put(bias, DType::f32) : OnDevice();
    const Weight weight = pack(w);
    backend_->matmul(out.tensor, in.tensor, weight,
                     {.bias = with_bias ? added.tensor.reshaped({n}) : Tensor(), .epilogue = epilogue});
    EXPECT_LT(worst(get(out.tensor), product_of_codes(x, w, bias, GetParam().format, epilogue, before)),
              tolerance(GetParam().dtype));
  }

  static inline std::optional<cuda::Backend> backend_;
};
using QuantizedProducts = QuantizedActivations;

TEST_P(QuantizedActivations, HaveTheCodesOfTheirDefinition) {
  constexpr int64_t kRows = 9, kHeld = 16;
  for (const auto& [columns, gap] :
       {std::pair<int64_t, int64_t>{1, 0}, {16, 0}, {33, 0}, {40, 8}, {64, 3}, {300, 4}, {4500, 0}}) {
    SCOPED_TRACE(testing::Message() << columns << " columns, gap " << gap);
    Matrix x = numbers(kRows, columns, 5);
    x.at(1, columns - 1) = 100;  // the largest stands last
    for (int64_t i = 0; i < columns; ++i) {
      x.at(2, i) = 0;
      x.at(3, i) *= 0x1p-110f;  // below 1e-30
      x.at(4, i) *= 0x1p+120f;
    }
    x.at(5, columns / 2) = std::numeric_limits<float>::quiet_NaN();
    x.at(6, columns / 2) = -std::numeric_limits<float>::infinity();
    const OnDevice in = put(x, GetParam().dtype, gap);
    const int64_t held = whole_units(columns);
    const DeviceBuffer codes = backend_->allocate(static_cast<size_t>(kHeld * held));
    const DeviceBuffer scales = backend_->allocate(kHeld * sizeof(float));
    const Tensor code_rows = codes.as(DType::u8, {kHeld, held}), row_scales = scales.as(DType::f32, {kHeld});
    cuda::quantize_rows(backend_->stream(), code_rows, row_scales, in.tensor, GetParam().format);
    std::vector<uint8_t> found(static_cast<size_t>(kHeld * held));
    std::vector<float> found_scales(kHeld);
    backend_->download(Tensor::of(found.data(), {kHeld, held}), code_rows);
    backend_->download(Tensor::of(found_scales.data(), {kHeld}), row_scales);

    const Coded want = coded(x, GetParam().format);
    for (int64_t row = 0; row < kHeld; ++row) {
      const float scale = row < kRows ? want.scales[static_cast<size_t>(row)] : 0.0f;
      const float found_scale = found_scales[static_cast<size_t>(row)];
      EXPECT_TRUE(found_scale == scale || (std::isnan(found_scale) && std::isnan(scale))) << "row " << row;
      for (int64_t i = 0; i < held; ++i) {
        const bool inside = row < kRows && i < columns;
        const int code = inside ? want.codes[static_cast<size_t>(row * columns + i)] : 0;
        ASSERT_EQ(found[static_cast<size_t>(row * held + i)], code) << "row " << row << ", column " << i;
      }
    }
  }
}

TEST_P(QuantizedActivations, GiveTheProductOfTheirCodes) {
  for (const auto& [t, k, n] : {std::tuple<int64_t, int64_t, int64_t>{33, 1, 1},
                                {40, 33, 17},
                                {48, 64, 32},
                                {70, 131, 65},
                                {35, 257, 130}}) {
    compare(t, k, n, t % 2 == 0, Epilogue::none, 0);
    compare(t, k, n, t % 2 == 1, Epilogue::add, 3);
  }
}

TEST_P(QuantizedActivations, GiveEveryEpilogueAfterTheBias) {
  for (const Epilogue e : {Epilogue::gelu, Epilogue::gelu_tanh, Epilogue::quick_gelu, Epilogue::add}) {
    compare(34, 48, 24, true, e, 8);
    compare(37, 20, 19, false, e, 0);
  }
}

TEST_P(QuantizedProducts, GiveTheWholeInPartsOfTheOutputs) {
  constexpr int64_t kRows = 50, kOutputs = 300, kInputs = 33;  // parts of 128 outputs
  const Matrix x = numbers(kRows, kInputs, 1), nothing{kRows, kOutputs, std::vector<float>(kRows * kOutputs)};
  const Weight w = pack(numbers(kOutputs, kInputs, 2));
  const OnDevice in = put(x, GetParam().dtype), bias = put(numbers(1, kOutputs, 3), DType::f32);
  const OnDevice out = put(nothing, GetParam().dtype);
  const auto product = [&](cuda::Matmul& matmul) {
    matmul.run(out.tensor, in.tensor, w, {.bias = bias.tensor.reshaped({kOutputs})});
    return get(out.tensor).values;
  };
  cuda::Matmul whole(backend_->stream(), true), parts(backend_->stream(), true, 1);
  EXPECT_EQ(product(parts), product(whole));
  EXPECT_EQ(whole.plans(), 1u);
  EXPECT_EQ(parts.plans(), 2u) << "128 outputs, and the rest";
}

// Rows are held in sixteens, so that prompts of many lengths share a plan.
TEST_P(QuantizedProducts, ShareAPlanAmongNumbersOfRows) {
  const Weight w = pack(numbers(16, 32, 2));
  const OnDevice in = put(numbers(64, 32, 1), GetParam().dtype),
                 out = put(numbers(64, 16, 4), GetParam().dtype);
  cuda::Matmul matmul(backend_->stream(), true);
  for (const auto& [rows, plans] : {std::pair<int64_t, size_t>{33, 1}, {48, 1}, {49, 2}, {64, 2}, {40, 2}}) {
    matmul.run(out.tensor.slice_rows(0, rows), in.tensor.slice_rows(0, rows), w, {});
    EXPECT_EQ(matmul.plans(), plans) << rows << " rows";
  }
  backend_->synchronize();
}

// If scratch memory grows later, a recording keeps the memory it was made with.
TEST_P(QuantizedProducts, AreFoundAnewWhenARecordingRuns) {
  const Matrix w = numbers(24, 48, 2);
  const Weight weight = pack(w);
  const OnDevice in = put(numbers(80, 48, 1), GetParam().dtype),
                 out = put(numbers(80, 24, 4), GetParam().dtype);
  cuda::Matmul matmul(backend_->stream(), true);
  const auto queue = [&](int64_t rows) {
    matmul.run(out.tensor.slice_rows(0, rows), in.tensor.slice_rows(0, rows), weight, {});
  };
  queue(36);
  const std::unique_ptr<Recording> recording = backend_->record([&] { queue(36); });
  ASSERT_NE(recording, nullptr);
  queue(80);
  const Matrix other = numbers(36, 48, 9);
  const OnDevice fed = put(other, GetParam().dtype);
  backend_->cast(in.tensor.slice_rows(0, 36), fed.tensor);
  recording->run();
  EXPECT_LT(worst(get(out.tensor.slice_rows(0, 36)),
                  product_of_codes(other, w, {}, GetParam().format, Epilogue::none, {})),
            tolerance(GetParam().dtype));
}

TEST_P(QuantizedProducts, AreNanWhereARowIsNotFinite) {
  Matrix x = numbers(34, 20, 1);
  x.at(3, 7) = std::numeric_limits<float>::infinity();
  const Weight w = pack(numbers(5, 20, 2));
  const OnDevice in = put(x, GetParam().dtype), out = put(numbers(34, 5, 4), GetParam().dtype);
  backend_->matmul(out.tensor, in.tensor, w, {});
  const Matrix found = get(out.tensor);
  for (int64_t t = 0; t < found.rows; ++t) {
    for (int64_t n = 0; n < found.columns; ++n)
      EXPECT_EQ(std::isnan(found.at(t, n)), t == 3) << t << "," << n;
  }
}

// The steps of a product, with a scale taken from beside its row or its output: seen at once.
TEST_P(QuantizedProducts, AScaleOfTheNeighbourGivesAnotherResult) {
  constexpr int64_t kRows = 16, kOutputs = 32, kInputs = 64;
  const bool whole = GetParam().format == WeightFormat::int8;
  const Matrix x = numbers(kRows, kInputs, 1), w = numbers(kOutputs, kInputs, 2);
  const Weight weight = pack(w);
  const OnDevice in = put(x, GetParam().dtype), out = put(numbers(kRows, kOutputs, 4), GetParam().dtype);
  const DeviceBuffer codes = backend_->allocate(kRows * kInputs),
                     sums = backend_->allocate(kRows * kOutputs * 4);
  // One more of each than there are, so that a neighbour's is there.
  const OnDevice row_scales = put(numbers(1, kRows + 1, 6), DType::f32);
  const OnDevice column_scales = put(numbers(1, kOutputs + 1, 8), DType::f32);
  const Tensor rows = row_scales.tensor.reshaped({kRows + 1}),
               columns = column_scales.tensor.reshaped({kOutputs + 1});
  backend_->cast(columns.slice_rows(0, kOutputs), weight.scales.as(DType::f32, {kOutputs}));
  cuda::quantize_rows(backend_->stream(), codes.as(DType::u8, {kRows, kInputs}), rows.slice_rows(0, kRows),
                      in.tensor, GetParam().format);
  cublasLtHandle_t handle = nullptr;
  cublasLtCreate(&handle);
  cuda::PlanKey key;
  key.rows = kRows;
  key.n = key.out_stride = kOutputs;
  key.k = key.x_stride = key.w_stride = kInputs;
  key.in = GetParam().format;
  key.out = whole ? DType::i32 : DType::f32;
  const cuda::MatmulPlan plan(handle, key, nullptr, 0);
  ASSERT_TRUE(plan.usable()) << plan.refusal();
  plan.run(handle, sums.data(), codes.data(), weight.data.data(), nullptr, nullptr, backend_->stream());
  const std::vector<double> want = product_of_codes(x, w, {}, GetParam().format, Epilogue::none, {});
  const auto error = [&](int64_t row_shift, int64_t column_shift) {
    cuda::scale_sums(backend_->stream(), out.tensor, sums.as(key.out, {kRows, kOutputs}),
                     rows.slice_rows(row_shift, kRows), columns.slice_rows(column_shift, kOutputs), {},
                     false);
    return worst(get(out.tensor), want);
  };
  EXPECT_LT(error(0, 0), tolerance(GetParam().dtype));
  EXPECT_GT(error(1, 0), 0.05);
  EXPECT_GT(error(0, 1), 0.05);
  cublasLtDestroy(handle);
}

std::vector<Case> cases(const std::vector<std::string>& orders) {
  std::vector<Case> all;
  for (const std::string& order : orders)
    for (const WeightFormat format : {WeightFormat::fp8, WeightFormat::int8})
      for (const DType dtype : {DType::f32, DType::bf16})
        all.push_back({message(order, "_", name_of(format), "_", name_of(dtype)), order, format, dtype});
  return all;
}
void PrintTo(const Case& which, std::ostream* out) { *out << which.name; }  // NOLINT
std::string name_of_case(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Orders, QuantizedActivations,
                         testing::ValuesIn(cases({"forward", "reverse", "shuffled", "run_ahead"})),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Forward, QuantizedProducts, testing::ValuesIn(cases({"forward"})), name_of_case);

// These are the requests to cuBLASLt, in its own words.
struct Asked {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32I;
  cudaDataType_t scale = CUDA_R_32I;
  cudaDataType_t in = CUDA_R_8I;
  cudaDataType_t out = CUDA_R_32I;
  cublasOperation_t transpose_w = CUBLAS_OP_T;
  cublasOperation_t transpose_x = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  uint64_t n = 32, rows = 16, k = 48;
  int64_t stride = 48;  // of w and x
  uint32_t alignment = 16;
};

class CodesInTheLibrary : public testing::Test {
 protected:
  CodesInTheLibrary() {
    emulation::set_architecture(kHopper);
    cublasLtCreate(&handle_);
  }
  ~CodesInTheLibrary() override {
    cublasLtDestroy(handle_);
    emulation::set_architecture(kAmpere);
  }
  bool answers(const Asked& asked) {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    const bool tw = asked.transpose_w == CUBLAS_OP_T, tx = asked.transpose_x == CUBLAS_OP_T;
    cublasLtMatmulDescCreate(&operation, asked.compute, asked.scale);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &asked.transpose_w, 4);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSB, &asked.transpose_x, 4);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &asked.epilogue, 4);
    cublasLtMatrixLayoutCreate(&w, asked.in, tw ? asked.k : asked.n, tw ? asked.n : asked.k, asked.stride);
    cublasLtMatrixLayoutCreate(&x, asked.in, tx ? asked.rows : asked.k, tx ? asked.k : asked.rows,
                               asked.stride);
    cublasLtMatrixLayoutCreate(&out, asked.out, asked.n, asked.rows, static_cast<int64_t>(asked.n));
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                         &asked.alignment, 4);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, operation, w, x, out, out, preference, 1, &best, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    for (cublasLtMatrixLayout_t l : {w, x, out}) cublasLtMatrixLayoutDestroy(l);
    cublasLtMatmulDescDestroy(operation);
    return status == CUBLAS_STATUS_SUCCESS && found == 1;
  }
  cublasLtHandle_t handle_ = nullptr;
};

constexpr Asked kInt8{},
    kFp8{.compute = CUBLAS_COMPUTE_32F, .scale = CUDA_R_32F, .in = CUDA_R_8F_E4M3, .out = CUDA_R_32F};

TEST_F(CodesInTheLibrary, AreRefusedInOtherTypes) {
  EXPECT_TRUE(answers(kInt8));
  EXPECT_TRUE(answers(kFp8));
  Asked wrong = kInt8;
  wrong.scale = CUDA_R_32F;
  EXPECT_FALSE(answers(wrong));
  wrong.compute = CUBLAS_COMPUTE_32F;
  EXPECT_FALSE(answers(wrong));
  wrong = kInt8;
  wrong.out = CUDA_R_32F;
  EXPECT_FALSE(answers(wrong));
  wrong = kFp8;
  wrong.out = CUDA_R_32I;
  EXPECT_FALSE(answers(wrong));
  wrong = kFp8;
  wrong.compute = CUBLAS_COMPUTE_32I;
  wrong.scale = CUDA_R_32I;
  EXPECT_FALSE(answers(wrong));
  wrong = kInt8;
  wrong.epilogue = CUBLASLT_EPILOGUE_BIAS;
  EXPECT_FALSE(answers(wrong));
}

TEST_F(CodesInTheLibrary, AreRefusedInOtherLayouts) {
  for (const Asked& right : {kInt8, kFp8}) {
    Asked wrong = right;
    wrong.n = wrong.rows = wrong.k = static_cast<uint64_t>(wrong.stride);  // square: fits any of them
    EXPECT_TRUE(answers(wrong));
    wrong.transpose_w = CUBLAS_OP_N;
    EXPECT_FALSE(answers(wrong));
    wrong.transpose_w = CUBLAS_OP_T;
    wrong.transpose_x = CUBLAS_OP_T;
    EXPECT_FALSE(answers(wrong));
    wrong = right;
    wrong.stride = 56;
    EXPECT_FALSE(answers(wrong));
    wrong = right;
    wrong.k = 40;
    EXPECT_FALSE(answers(wrong));
    wrong = right;
    wrong.n = 24;
    EXPECT_FALSE(answers(wrong));
    wrong = right;
    wrong.alignment = 8;
    EXPECT_FALSE(answers(wrong));
  }
}

TEST_F(CodesInTheLibrary, AreRefusedInFp8BeforeItsDevices) {
  emulation::set_architecture(kAmpere);
  EXPECT_TRUE(answers(kInt8));
  EXPECT_FALSE(answers(kFp8));
  emulation::set_architecture(89);
  EXPECT_TRUE(answers(kFp8));
}

TEST(QuantizingBackend, SaysThatADeviceHasNoProductsOfFp8) {
  const Matrix w = numbers(4, 20, 2);
  const auto pack = [&](bool quantize, WeightFormat format) {
    cuda::Backend backend({.kind = "cuda", .quantize_activations = quantize});
    static_cast<uhd::Backend&>(backend).pack(w.tensor(), format);
  };
  EXPECT_THAT(
      [&] { pack(true, WeightFormat::fp8); },
      testing::ThrowsMessage<Error>("model.quantize_activations with model.quantize=fp8 needs a device of "
                                    "sm_89 or later, and device 0 is sm_80: take int8, or leave it out"));
  EXPECT_NO_THROW(pack(false, WeightFormat::fp8));
  EXPECT_NO_THROW(pack(true, WeightFormat::int8));
  emulation::set_architecture(89);
  EXPECT_NO_THROW(pack(true, WeightFormat::fp8));
  emulation::set_architecture(kAmpere);
}

TEST(QuantizingBackend, RefusesSumsThatMayLeave32Bits) {
  constexpr int64_t kRows = 33, kInputs = 131073;
  cuda::Backend backend({.kind = "cuda", .quantize_activations = true});
  const DeviceBuffer x = backend.allocate(kRows * kInputs * sizeof(bf16)), out = backend.allocate(kRows * 4);
  const Weight w{WeightFormat::int8, 1, kInputs, backend.allocate(kCodesUnit * whole_units(kInputs)),
                 backend.allocate(sizeof(float))};
  EXPECT_THAT(
      [&] {
        backend.matmul(out.as(DType::f32, {kRows, 1}), x.as(DType::bf16, {kRows, kInputs}), w, {});
      },
      testing::ThrowsMessage<Error>(testing::HasSubstr("may leave 32 bits")));
}

}  // namespace
}  // namespace uhd
