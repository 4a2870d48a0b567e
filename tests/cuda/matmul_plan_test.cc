// Tests plans of cuBLASLt's stand-in: it is late, it refuses everything that the library refuses, and a wrong
// plan does not pass.
#include "kernels/cuda/matmul_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "kernels/cuda/backend.h"

namespace uhd {
namespace {

using cuda::MatmulPlan;
using cuda::PlanKey;

constexpr int64_t kT = 3, kN = 8, kK = 20;
constexpr size_t kWorkspace = size_t{1} << 20;

std::vector<float> numbers(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

class MatmulPlans : public testing::Test {
 protected:
  MatmulPlans()
      : backend_({.kind = "cuda", .compute = WeightFormat::f32}),
        x_(put(numbers(kT * kK, 1), {kT, kK})),
        w_(put(numbers(kN * kK, 2), {kN, kK})),
        out_(backend_.allocate(kT * kN * sizeof(float))),
        workspace_(backend_.allocate(kWorkspace)) {
    cublasLtCreate(&handle_);
  }
  ~MatmulPlans() override {
    cublasLtDestroy(handle_);
    emulation::clear_failure();
  }

  DeviceBuffer put(const std::vector<float>& values, Shape shape) {
    DeviceBuffer buffer = backend_.allocate(values.size() * sizeof(float));
    backend_.upload(buffer.as(DType::f32, shape), Tensor::of(values.data(), shape));
    return buffer;
  }
  static PlanKey key() {
    PlanKey k;
    k.rows = kT;
    k.n = kN;
    k.k = kK;
    k.out_stride = kN;
    k.x_stride = kK;
    k.w_stride = kK;
    return k;
  }
  void run(const MatmulPlan& plan, const void* x) {
    plan.run(handle_, out_.data(), x, w_.data(), nullptr, workspace_.data(), backend_.stream());
  }
  // Returns the largest difference from the product by its definition.
  double error() {
    std::vector<float> out(kT * kN);
    backend_.download(Tensor::of(out.data(), {kT, kN}), out_.as(DType::f32, {kT, kN}));
    const auto x = numbers(kT * kK, 1), w = numbers(kN * kK, 2);
    double worst = 0;
    for (int64_t t = 0; t < kT; ++t) {
      for (int64_t n = 0; n < kN; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < kK; ++k) {
          sum += static_cast<double>(x[static_cast<size_t>(t * kK + k)]) * w[static_cast<size_t>(n * kK + k)];
        }
        const double difference = std::abs(sum - out[static_cast<size_t>(t * kN + n)]);
        worst = difference > worst || std::isnan(difference) ? difference : worst;
      }
    }
    return worst;
  }

  cuda::Backend backend_;
  DeviceBuffer x_, w_, out_, workspace_;
  cublasLtHandle_t handle_ = nullptr;
};

TEST_F(MatmulPlans, GiveTheProductOnceSomeoneWaits) {
  const MatmulPlan plan(handle_, key(), nullptr, kWorkspace);
  ASSERT_TRUE(plan.usable());
  run(plan, x_.data());
  EXPECT_TRUE(std::isnan(static_cast<const float*>(out_.data())[0])) << "the stand-in was not late";
  EXPECT_LT(error(), 1e-5);
}

TEST_F(MatmulPlans, AWrongStrideOfTheWeightGivesAnotherResult) {
  PlanKey wrong = key();
  wrong.w_stride = kK - 4;
  wrong.k = kK - 4;
  run(MatmulPlan(handle_, wrong, nullptr, kWorkspace), x_.data());
  EXPECT_GT(error(), 0.1);
}

TEST_F(MatmulPlans, AStrideThatLeavesTheMatrixIsRefused) {
  PlanKey wrong = key();
  wrong.out_stride = kN + 4;
  const MatmulPlan plan(handle_, wrong, nullptr, kWorkspace);
  EXPECT_THROW(run(plan, x_.data()), Error);
  EXPECT_NE(emulation::failure(), "");
}

TEST_F(MatmulPlans, RowsThatOverlapAreRefused) {
  PlanKey wrong = key();
  wrong.x_stride = kK - 1;
  EXPECT_FALSE(MatmulPlan(handle_, wrong, nullptr, kWorkspace).usable());
}

TEST_F(MatmulPlans, APointerLessAlignedThanItsPlanIsRefused) {
  PlanKey rows = key();
  rows.rows = 2;
  const MatmulPlan plan(handle_, rows, nullptr, kWorkspace);
  EXPECT_THROW(run(plan, static_cast<const float*>(x_.data()) + 1), Error);
  rows.x_alignment = sizeof(float);
  run(MatmulPlan(handle_, rows, nullptr, kWorkspace), static_cast<const float*>(x_.data()) + 1);
  backend_.synchronize();
}

TEST_F(MatmulPlans, ABiasOfAnotherTypeThanTheResultIsRefused) {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  cublasLtMatrixLayoutCreate(&a, CUDA_R_16BF, kN, kK, kN);
  cublasLtMatrixLayoutCreate(&b, CUDA_R_16BF, kK, kT, kK);
  cublasLtMatrixLayoutCreate(&d, CUDA_R_16BF, kN, kT, kN);
  cublasLtMatmulPreferenceCreate(&preference);
  const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  const int32_t type = CUDA_R_32F;
  cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const auto ask = [&] {
    return cublasLtMatmulAlgoGetHeuristic(handle_, operation, a, b, d, d, preference, 1, &best, &found);
  };
  EXPECT_EQ(ask(), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof(type));
  EXPECT_EQ(ask(), CUBLAS_STATUS_NOT_SUPPORTED);
  cublasLtMatmulPreferenceDestroy(preference);
  for (cublasLtMatrixLayout_t l : {a, b, d}) cublasLtMatrixLayoutDestroy(l);
  cublasLtMatmulDescDestroy(operation);
}

TEST_F(MatmulPlans, AWeightFreedUnderACapturedGraphIsNoticed) {
  const MatmulPlan plan(handle_, key(), nullptr, kWorkspace);
  const cudaStream_t stream = backend_.stream();
  backend_.synchronize();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  run(plan, x_.data());
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  cudaGraphLaunch(executable, stream);
  EXPECT_LT(error(), 1e-5);
  w_ = DeviceBuffer();
  cudaGraphLaunch(executable, stream);
  EXPECT_THROW(backend_.synchronize(), Error);
  EXPECT_NE(emulation::failure(), "");
  emulation::clear_failure();
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TEST(MatmulCache, KeepsOnePlanForEqualShapesAndAlignments) {
  cuda::Backend backend({.kind = "cuda", .compute = WeightFormat::f32});
  const auto values = numbers(kN * kK, 2);
  const Weight w = backend.pack(Tensor::of(values.data(), {kN, kK}), WeightFormat::f32, {});
  const DeviceBuffer x = backend.allocate(5 * kK * sizeof(float));
  const DeviceBuffer out = backend.allocate(5 * kN * sizeof(float));
  cudaMemsetAsync(x.data(), 0, x.bytes(), backend.stream());
  cuda::Matmul matmul(backend.stream());
  const auto run = [&](int64_t first, int64_t rows) {
    matmul.run(out.as(DType::f32, {5, kN}).slice_rows(first, rows),
               x.as(DType::f32, {5, kK}).slice_rows(first, rows), w, {});
    return matmul.plans();
  };
  EXPECT_EQ(run(0, 4), 1u);
  EXPECT_EQ(run(0, 4), 1u);
  EXPECT_EQ(run(0, 3), 2u);
  EXPECT_EQ(run(1, 4), 3u) << "rows that start at 80 bytes are less aligned than the first";
  backend.synchronize();
}

// A number of shapes without end pushes out those that nobody uses, and no other.
TEST(MatmulCache, KeepsThePlansThatAreUsed) {
  constexpr int64_t kShapes = 5000;
  cuda::Backend backend({.kind = "cuda", .compute = WeightFormat::f32});
  const std::vector<float> one{1};
  const Weight w = backend.pack(Tensor::of(one.data(), {1, 1}), WeightFormat::f32, {});
  const DeviceBuffer x = backend.allocate(kShapes * sizeof(float)), out = backend.allocate(x.bytes());
  cudaMemsetAsync(x.data(), 0, x.bytes(), backend.stream());
  cuda::Matmul matmul(backend.stream());
  int asked = 0;
  emulation::watch_cuda([&](std::string_view call) { asked += call == "cublasLtMatmulAlgoGetHeuristic"; });
  const auto of = [&](const DeviceBuffer& memory, int64_t rows) { return memory.as(DType::f32, {rows, 1}); };
  const auto run = [&](int64_t rows) { matmul.run(of(out, rows), of(x, rows), w, {}); };
  matmul.prepare(of(out, kShapes), of(x, kShapes), w, {});
  for (int64_t rows = 2; rows < kShapes; ++rows) {
    run(rows);
    if (rows % 1000 == 0) run(1);
  }
  EXPECT_EQ(asked, kShapes) << "the shape in use was asked for once";
  EXPECT_LT(matmul.plans(), size_t{kShapes});
  run(kShapes);
  EXPECT_EQ(asked, kShapes) << "what was prepared stays";
  run(2);
  EXPECT_EQ(asked, kShapes + 1);
  emulation::watch_cuda({});
  backend.synchronize();
}

TEST(MatmulParts, OfQuantizedOutputsGiveTheWhole) {
  constexpr int64_t kRows = 40, kOutputs = 300, kInputs = 33;  // parts of 128 outputs
  cuda::Backend backend({.kind = "cuda", .compute = WeightFormat::f32});
  const auto put = [&](const std::vector<float>& values) {
    DeviceBuffer buffer = backend.allocate(values.size() * sizeof(float));
    const Shape shape{static_cast<int64_t>(values.size())};
    backend.upload(buffer.as(DType::f32, shape), Tensor::of(values.data(), shape));
    return buffer;
  };
  const auto values = numbers(kOutputs * kInputs, 2);
  const DeviceBuffer x = put(numbers(kRows * kInputs, 1)), bias = put(numbers(kOutputs, 3));
  const DeviceBuffer out = backend.allocate(kRows * kOutputs * sizeof(float));
  const Tensor result = out.as(DType::f32, {kRows, kOutputs});
  for (const WeightFormat format : {WeightFormat::fp8, WeightFormat::int8, WeightFormat::int4}) {
    const Weight w = backend.pack(Tensor::of(values.data(), {kOutputs, kInputs}), format, {});
    const auto product = [&](cuda::Matmul& matmul) {
      matmul.run(result, x.as(DType::f32, {kRows, kInputs}), w, {.bias = bias.as(DType::f32, {kOutputs})});
      std::vector<float> host(kRows * kOutputs);
      backend.download(Tensor::of(host.data(), {kRows, kOutputs}), result);
      return host;
    };
    cuda::Matmul whole(backend.stream()), parts(backend.stream(), false, 1);
    EXPECT_EQ(product(parts), product(whole)) << name_of(format);
    EXPECT_EQ(whole.plans(), 1u);
    EXPECT_EQ(parts.plans(), 2u) << "128 outputs, and the rest";
  }
}

}  // namespace
}  // namespace uhd
