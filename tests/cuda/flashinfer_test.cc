// Tests what FlashInfer's attention is told of a step, by loops that read its index arrays as its kernels do
// (flashinfer_standin): under every order of lanes, recorded, and wrong on purpose. It does not show that
// FlashInfer's own kernels compute attention.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <flashinfer/attention/prefill.cuh>

#include "emulation/cuda.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/launchers.h"
#include "tests/cuda/attention_case.h"

namespace uhd::cuda {
namespace {

using emulation::LaneOrder;

constexpr double kBf16 = 1.2e-2;

constexpr LaneOrder kOrders[] = {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled,
                                 LaneOrder::run_ahead};

class CudaFlashInfer : public testing::TestWithParam<LaneOrder> {
 protected:
  CudaFlashInfer() { emulation::set_lane_order(GetParam(), 5); }
  ~CudaFlashInfer() override {
    EXPECT_EQ(emulation::failure(), "");
    emulation::clear_failure();
    emulation::set_lane_order(LaneOrder::forward);
  }
};

double error_of(const PagedCase& c) { return planned_error(c, paged_attention_flashinfer); }

TEST_P(CudaFlashInfer, EqualsTheReference) {
  for (const int64_t page : {1, 48, 64, 128}) {
    SCOPED_TRACE(page);
    // Decode, whole prompts, a chunk in the middle of one; eight query heads a key head, then three, then
    // one.
    EXPECT_LT(error_of({{1, 33, 70, 130, 64}, {1, 1, 30, 1, 64}, page, 8, 1, 64}), kBf16);
    EXPECT_LT(error_of({{65, 17}, {64, 6}, page, 6, 2, 128}), kBf16);
    EXPECT_LT(error_of({{80, 129}, {17, 16}, page, 2, 2, 128}), kBf16);
  }
}

TEST_P(CudaFlashInfer, TakesALonePromptAndDecodeAlone) {
  EXPECT_LT(error_of({{300}, {300}, 64, 2, 2, 64}), kBf16);
  EXPECT_LT(error_of({{300}, {17}, 64, 2, 2, 64}), kBf16);
  EXPECT_LT(error_of({{900, 33, 256, 257}, {1, 1, 2, 1}, 64, 7, 1, 128}), kBf16);
}

TEST_P(CudaFlashInfer, TakesSequencesWithoutRows) {
  EXPECT_LT(error_of({{40, 7, 130, 9}, {0, 7, 130, 0}, 16, 4, 2, 64}), kBf16);
}

TEST_P(CudaFlashInfer, LeavesDecodeToSplits) {
  PagedCase c{{900, 33, 300}, {1, 1, 120}, 64, 4, 2, 128};
  c.out_gap = 0;
  EXPECT_LT(paged_error(c,
                        [](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                           float scale, float* partials) {
                          paged_attention_flashinfer(stream, out, q, pages, spans, scale, false, partials);
                          paged_attention_splits(stream, out, q, pages, spans, scale, 3, partials);
                        }),
            kBf16);
}

// The step is captured with other rows and lengths: the plan is made from the arrays' contents when it runs.
// The last two sequences stand for rows that were added up to the size, on one page.
TEST_P(CudaFlashInfer, ARecordedStepIsPlannedAnew) {
  PagedCase c{{700, 41, 256, 1, 1}, {1, 1, 1, 1, 1}, 64, 6, 2, 64};
  c.out_gap = 0;
  const double error = paged_error(c, [&](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                          const PagedSpans& spans, float scale, float* plan) {
    const auto lengths_are = [&](const std::vector<int32_t>& lengths) {
      check_cuda(cudaMemcpyAsync(spans.kv_lengths.raw(), lengths.data(), lengths.size() * 4,
                                 cudaMemcpyHostToDevice, stream),
                 "upload");
    };
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t step = nullptr;
    lengths_are({1, 1, 1, 1, 1});
    check_cuda(cudaStreamSynchronize(stream), "waiting");
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    paged_attention_flashinfer(stream, out, q, pages, spans, scale, true, plan);
    check_cuda(cudaStreamEndCapture(stream, &graph), "capture");
    check_cuda(cudaGraphInstantiate(&step, graph, 0), "instantiate");
    for (const auto& lengths : {std::vector<int32_t>{300, 1, 2, 1, 1}, c.lengths}) {
      lengths_are(lengths);
      check_cuda(cudaGraphLaunch(step, stream), "launching a graph");
      check_cuda(cudaStreamSynchronize(stream), "waiting");
    }
    cudaGraphExecDestroy(step);
    cudaGraphDestroy(graph);
  });
  EXPECT_LT(error, kBf16);
}

std::string order_name(const testing::TestParamInfo<LaneOrder>& order) {
  constexpr const char* kNames[] = {"forward", "reverse", "shuffled", "run_ahead"};
  return kNames[static_cast<int>(order.param)];
}
INSTANTIATE_TEST_SUITE_P(Orders, CudaFlashInfer, testing::ValuesIn(kOrders), order_name);

// Calls attention as the backend does. `launches` counts FlashInfer's.
void expect_chosen(PagedCase c, int64_t out_gap, int launches, double tolerance = kBf16) {
  c.out_gap = out_gap;
  const int before = flashinfer::standin::launches;
  const double error = paged_error(c, [](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                         const PagedSpans& spans, float scale, float*) {
    Attention(stream, attention_form("flashinfer")).queue(ops::PagedAttention{out, q, pages, spans, scale});
    cudaStreamSynchronize(stream);  // before its memory goes
  });
  EXPECT_LT(error, tolerance);
  EXPECT_EQ(flashinfer::standin::launches - before, launches);
}

TEST(FlashInferChoice, IsTakenWhereItFitsAndElseAnotherForm) {
  expect_chosen({{70, 30}, {70, 1}, 16, 2, 2, 64}, 0, 2);
  expect_chosen({{70}, {70}, 16, 2, 2, 128}, 0, 1);
  expect_chosen({{70, 30}, {1, 1}, 16, 2, 2, 128}, 0, 1);
  expect_chosen({{600}, {1}, 64, 3, 1, 64}, 0, 0);          // keys worth splitting
  expect_chosen({{600, 70}, {1, 70}, 64, 3, 1, 64}, 0, 1);  // of the sequence that decodes
  expect_chosen({{70, 30}, {70, 1}, 16, 2, 2, 64}, 16, 0);  // rows of the result lie apart
  expect_chosen({{70, 30}, {70, 1}, 16, 2, 2, 80}, 0, 0);   // heads
  expect_chosen({{70, 30}, {1, 30}, 16, 2, 2, 64, DType::bf16, DType::f32}, 0, 0);
  expect_chosen({{70, 30}, {1, 30}, 16, 2, 2, 64, DType::f32, DType::f32}, 0, 0, 2e-5);
}

// FlashInfer looks at no index: the plan does, at those behind the end of a sequence too.
TEST(FlashInferPlan, APageOutsideTheCacheIsAFailure) {
  constexpr int kTablePages = 5;
  for (const int32_t queries : {1, 40}) {
    for (const int entry : {0, kTablePages + 4}) {
      for (const int32_t bad : {-1, 1 << 20}) {
        PagedCase c{{70, 20}, {queries, 1}, 16, 2, 2, 64};
        c.out_gap = 0;
        const double error = paged_error(c, [&](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                                const PagedSpans& spans, float scale, float* plan) {
          EXPECT_EQ(spans.page_table.dim(1), kTablePages);
          check_cuda(cudaMemcpyAsync(spans.page_table.data<int32_t>() + entry, &bad, 4,
                                     cudaMemcpyHostToDevice, stream),
                     "upload");
          paged_attention_flashinfer(stream, out, q, pages, spans, scale, true, plan);
        });
        EXPECT_EQ(error, INFINITY);
        EXPECT_NE(emulation::failure().find("an invariant of data on the device is broken"),
                  std::string::npos)
            << emulation::failure();
        emulation::clear_failure();
      }
    }
  }
}

TEST(FlashInferPlan, HasASlotForEveryTileOfEverySequence) {
  const std::vector<int> tokens = {1, 0, 17, 128, 1, 129, 0, 0, 64, 5, 1000, 1};
  for (const int64_t group : {1, 3, 4, 7, 8}) {
    for (const int64_t tile : {16, 128}) {
      int64_t first = 0;
      for (size_t s = 0; s < tokens.size(); first += tokens[s++]) {
        const auto sequence = static_cast<int64_t>(s);
        const int64_t room = first_slot(sequence + 1, first + tokens[s], group, tile) -
                             first_slot(sequence, first, group, tile);
        EXPECT_GE(room * tile, tokens[s] * group);
      }
    }
  }
}

}  // namespace
}  // namespace uhd::cuda
