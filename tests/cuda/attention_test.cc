// Tests attention on CUDA in its two forms, under every order of lanes.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "emulation/cuda.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/launchers.h"
#include "tests/cuda/attention_case.h"

namespace uhd::cuda {
namespace {

using emulation::LaneOrder;

constexpr double kF32 = 2e-5;
constexpr double kBf16 = 1.2e-2;  // operands and probabilities are rounded

constexpr LaneOrder kOrders[] = {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled,
                                 LaneOrder::run_ahead};

class CudaAttention : public testing::TestWithParam<LaneOrder> {
 protected:
  CudaAttention() { emulation::set_lane_order(GetParam(), 5); }
  ~CudaAttention() override {
    EXPECT_EQ(emulation::failure(), "");
    emulation::clear_failure();
    emulation::set_lane_order(LaneOrder::forward);
  }
};

double packed_tiles(const PackedCase& c) { return packed_error(c, packed_attention_tiles); }
double packed_rows(const PackedCase& c) {
  return packed_error(c, [](cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                            Tensor kv_offsets, int, float scale) {
    packed_attention_rows(stream, out, q, k, v, q_offsets, kv_offsets, scale);
  });
}
double paged_tiles(const PagedCase& c, int splits) {
  return paged_error(c, [=](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                            float scale, float* partials) {
    paged_attention_tiles(stream, out, q, pages, spans, scale, splits, partials);
  });
}
double paged_rows(const PagedCase& c) {
  return paged_error(
      c, [](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans, float scale,
            float*) { paged_attention_rows(stream, out, q, pages, spans, scale); });
}

TEST_P(CudaAttention, PackedTilesEqualTheReference) {
  for (const int64_t d : {16, 32, 64, 72, 80, 96, 128}) {
    SCOPED_TRACE(d);
    EXPECT_LT(packed_tiles({{9, 1, 0, 17}, {9, 1, 4, 33}, 3, d}), kBf16);
  }
  EXPECT_LT(packed_tiles({{25, 80}, {129, 65}, 2, 64}), kBf16);
  EXPECT_LT(packed_tiles({{64, 65}, {64, 128}, 1, 72}), kBf16);
}

TEST_P(CudaAttention, PackedTilesOfASegmentWithoutKeysAreZero) {
  EXPECT_LT(packed_tiles({{9, 3, 70}, {0, 5, 0}, 2, 32}), kBf16);
}

TEST_P(CudaAttention, PackedRowsEqualTheReference) {
  for (const int64_t d : {1, 7, 64, 130}) {
    SCOPED_TRACE(d);
    EXPECT_LT(packed_rows({{5, 1, 0, 17}, {9, 0, 4, 33}, 3, d, DType::f32}), kF32);
  }
  EXPECT_LT(packed_rows({{3, 6}, {70, 32}, 3, 72}), kBf16);
}

TEST_P(CudaAttention, PagedTilesEqualTheReference) {
  for (const int64_t page : {1, 48, 64, 128}) {
    SCOPED_TRACE(page);
    // Decode, whole prompts, a chunk in the middle of one; eight query heads a key head, then three, then
    // one.
    EXPECT_LT(paged_tiles({{1, 33, 70, 130, 64}, {1, 1, 30, 1, 64}, page, 8, 1, 32}, 1), kBf16);
    EXPECT_LT(paged_tiles({{65, 17}, {64, 6}, page, 6, 2, 72}, 1), kBf16);
    EXPECT_LT(paged_tiles({{80, 129}, {17, 16}, page, 2, 2, 128}, 1), kBf16);
  }
}

TEST_P(CudaAttention, PagedTilesTakeALonePrompt) {
  EXPECT_LT(paged_tiles({{150}, {150}, 64, 2, 2, 64}, 1), kBf16);
  EXPECT_LT(paged_tiles({{150}, {16}, 64, 2, 2, 80}, 1), kBf16);
}

TEST_P(CudaAttention, PagedSplitsEqualTheReference) {
  for (const int splits : {2, 3, 7}) {
    SCOPED_TRACE(splits);
    EXPECT_LT(paged_tiles({{900, 33, 256, 257}, {1, 1, 2, 1}, 64, 7, 1, 128}, splits), kBf16);
    // Rows of one task that do not see the last split's keys.
    EXPECT_LT(paged_tiles({{520, 300}, {16, 40}, 16, 2, 2, 96}, splits), kBf16);
  }
}

TEST_P(CudaAttention, PagedRowsEqualTheReference) {
  for (const DType pages : {DType::f32, DType::bf16}) {
    const double tolerance = kF32;
    EXPECT_LT(paged_rows({{1, 33, 70, 64}, {1, 1, 30, 3}, 7, 8, 2, 20, DType::f32, pages}), tolerance);
    EXPECT_LT(paged_rows({{1, 33, 70, 64}, {1, 1, 30, 3}, 64, 3, 1, 72, DType::bf16, pages}), kBf16);
  }
}

std::string order_name(const testing::TestParamInfo<LaneOrder>& order) {
  constexpr const char* kNames[] = {"forward", "reverse", "shuffled", "run_ahead"};
  return kNames[static_cast<int>(order.param)];
}
INSTANTIATE_TEST_SUITE_P(Orders, CudaAttention, testing::ValuesIn(kOrders), order_name);

// Calls attention as the backend does: the class chooses form and splits.
double chosen_packed(const PackedCase& c, bool plain) {
  return packed_error(c, [=](cudaStream_t stream, Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                             Tensor kv_offsets, int max_q, float scale) {
    Attention(stream, plain ? AttentionForm::plain : AttentionForm::automatic)
        .queue(ops::PackedAttention{out, q, k, v, q_offsets, kv_offsets, max_q, 0, scale, false});
    cudaStreamSynchronize(stream);
  });
}
double chosen_paged(const PagedCase& c, bool plain) {
  return paged_error(c, [=](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                            float scale, float*) {
    Attention(stream, plain ? AttentionForm::plain : AttentionForm::automatic)
        .queue(ops::PagedAttention{out, q, pages, spans, scale});
    cudaStreamSynchronize(stream);  // before its memory goes
  });
}

TEST(AttentionChoice, EveryShapeHasAForm) {
  for (const bool plain : {false, true}) {
    SCOPED_TRACE(plain);
    for (const int64_t d : {64, 20, 136}) {
      EXPECT_LT(chosen_packed({{9, 17}, {9, 33}, 2, d}, plain), kBf16);
      EXPECT_LT(chosen_packed({{1, 1, 1}, {9, 3, 12}, 2, d}, plain), kBf16);
      EXPECT_LT(chosen_paged({{600}, {1}, 64, 3, 1, d}, plain), kBf16);
      EXPECT_LT(chosen_paged({{70, 30}, {1, 30}, 16, 2, 2, d, DType::bf16, DType::f32}, plain), kBf16);
    }
    EXPECT_LT(chosen_packed({{9, 17}, {9, 33}, 2, 64, DType::f32}, plain), kF32);
    EXPECT_LT(chosen_paged({{70, 30}, {1, 30}, 16, 2, 2, 64, DType::f32, DType::f32}, plain), kF32);
    EXPECT_LT(chosen_paged({{70, 30}, {1, 30}, 16, 2, 2, 64, DType::f32}, plain), kF32);
  }
}

// A step captured for the longest lengths, replayed for shorter ones and then for those it is compared at.
TEST_P(CudaAttention, ACapturedStepIsReplayedForOtherLengths) {
  const PagedCase c{{700, 41, 256}, {1, 1, 2}, 64, 6, 2, 64};
  const double error = paged_error(c, [&](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                          const PagedSpans& spans, float scale, float* partials) {
    PagedSpans longest = spans;
    longest.max_kv = static_cast<int>(spans.page_table.dim(1) * pages.k.dim(1));
    const int splits = decode_splits(3, 2, longest.max_kv, 24);
    EXPECT_GT(splits, 1);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t step = nullptr;
    check_cuda(cudaStreamSynchronize(stream), "waiting");
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    paged_attention_tiles(stream, out, q, pages, longest, scale, splits, partials);
    check_cuda(cudaStreamEndCapture(stream, &graph), "capture");
    check_cuda(cudaGraphInstantiate(&step, graph, 0), "instantiate");
    const std::vector<int32_t> shorter{300, 1, 2};
    const auto replay = [&](const std::vector<int32_t>& lengths) {
      check_cuda(cudaMemcpyAsync(spans.kv_lengths.raw(), lengths.data(), 12, cudaMemcpyHostToDevice, stream),
                 "upload");
      check_cuda(cudaGraphLaunch(step, stream), "launching a graph");
      check_cuda(cudaStreamSynchronize(stream), "waiting");
    };
    replay(shorter);
    replay(c.lengths);
    cudaGraphExecDestroy(step);
    cudaGraphDestroy(graph);
  });
  EXPECT_LT(error, kBf16);
}

// A fault that the host cannot see ends the kernel instead of reading past a cache.
TEST(AttentionInvariants, APageOutsideTheCacheIsAFailure) {
  using Form = std::function<void(cudaStream_t, Tensor, Tensor, KvLayer, const PagedSpans&, float, float*)>;
  const Form tiles = [](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                        float scale, float* partials) {
    paged_attention_tiles(stream, out, q, pages, spans, scale, 2, partials);
  };
  const Form rows = [](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                       float scale, float*) { paged_attention_rows(stream, out, q, pages, spans, scale); };
  for (const int64_t page : {16, 64}) {
    for (const int32_t queries : {1, 40}) {
      for (const Form& form : {tiles, rows}) {
        for (const int32_t bad : {-1, 1 << 20}) {
          const double error = paged_error(
              {{70}, {queries}, page, 2, 2, 32}, [&](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                                     const PagedSpans& spans, float scale, float* partials) {
                check_cuda(cudaMemcpyAsync(spans.page_table.raw(), &bad, 4, cudaMemcpyHostToDevice, stream),
                           "upload");
                form(stream, out, q, pages, spans, scale, partials);
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
}

TEST(DecodeSplits, FillTheDeviceOnceAndNoMore) {
  EXPECT_EQ(decode_splits(1, 32, 4096, 264), 8);
  EXPECT_EQ(decode_splits(1, 8, 4096, 264), 16) << "no split has fewer than 256 keys";
  EXPECT_EQ(decode_splits(1, 1, 1 << 20, 264), kMostSplits);
  EXPECT_EQ(decode_splits(32, 32, 4096, 264), 1);
  EXPECT_EQ(decode_splits(1, 8, 1, 264), 1);
  EXPECT_EQ(decode_splits(0, 8, 0, 264), 1);
  for (const int at_once : {1, 4, 142, 264})
    for (const int64_t sequences : {1, 2, 7, 31, 200})
      for (const int64_t heads : {1, 4, 8, 32})
        for (const int64_t keys : {1, 255, 257, 4096, 131072}) {
          const int splits = decode_splits(sequences, heads, keys, at_once);
          if (splits == 1) continue;
          EXPECT_LE(static_cast<size_t>(sequences * heads * splits * partial_floats(128)) * sizeof(float),
                    split_scratch_bytes(at_once, 128));
        }
}

TEST(DecodeSplits, KnowWhatADeviceRunsAtOnce) {
  constexpr size_t kBytes = 69632;                         // of a head of 128
  EXPECT_EQ(blocks_at_once(132, 227 << 10, kBytes), 264);  // H100
  EXPECT_EQ(blocks_at_once(108, 163 << 10, kBytes), 216);  // A100
  EXPECT_EQ(blocks_at_once(142, 99 << 10, kBytes), 142);   // L40S
}

TEST(DecodeSplits, CoverEveryKeyOnce) {
  for (const int keys : {1, 64, 255, 256, 257, 900, 4096, 4097}) {
    for (const int splits : {1, 2, 3, 7, 64}) {
      const int each = split_keys(keys, splits, 64);
      EXPECT_EQ(each % 64, 0);
      EXPECT_GE(each, kLeastSplitKeys);
      EXPECT_GE(int64_t{each} * splits, keys);
    }
  }
}

}  // namespace
}  // namespace uhd::cuda
