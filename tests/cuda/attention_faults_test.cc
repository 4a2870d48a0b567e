// Tests that the tests of attention would see kernels that are broken, and tiles that FlashInfer's are told
// wrongly: each twin has one thing broken. Values show it, so no build with sanitizers compiles the twins.
#include <gtest/gtest.h>

#include <algorithm>

#include "emulation/cuda.h"
#include "kernels/cuda/launchers.h"
#include "tests/cuda/attention_case.h"

namespace uhd {

// attention_fault.cu
#define UHD_BROKEN_ATTENTION(name)                                                                          \
  namespace name {                                                                                          \
  void packed_attention_tiles(cudaStream_t, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int, float);    \
  void paged_attention_tiles(cudaStream_t, Tensor, Tensor, KvLayer, const PagedSpans&, float, int, float*); \
  }
UHD_BROKEN_ATTENTION(no_tile_barrier)
UHD_BROKEN_ATTENTION(no_merge_barrier)
UHD_BROKEN_ATTENTION(no_copy_wait)
UHD_BROKEN_ATTENTION(wrong_fragment)
UHD_BROKEN_ATTENTION(no_transpose)

// flashinfer_fault.cu
#define UHD_BROKEN_PLAN(name)                                                                            \
  namespace name {                                                                                       \
  void paged_attention_flashinfer(cudaStream_t, Tensor, Tensor, KvLayer, const PagedSpans&, float, bool, \
                                  void*);                                                                \
  }
UHD_BROKEN_PLAN(shared_slots)
UHD_BROKEN_PLAN(wrong_table_row)
UHD_BROKEN_PLAN(wrong_lengths)
UHD_BROKEN_PLAN(wrong_results)

namespace cuda {
namespace {

using emulation::LaneOrder;

constexpr double kBf16 = 1.2e-2;  // operands and probabilities are rounded

constexpr LaneOrder kOrders[] = {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled,
                                 LaneOrder::run_ahead};

// The largest error over all orders, of a prompt of several tiles and of a split decode step.
double worst_of(const PackedForm& packed,
                void (*paged)(cudaStream_t, Tensor, Tensor, KvLayer, const PagedSpans&, float, int, float*)) {
  double worst = 0;
  for (const LaneOrder order : kOrders) {
    for (unsigned seed = 1; seed <= (order == LaneOrder::run_ahead ? 6 : 1); ++seed) {
      emulation::set_lane_order(order, seed);
      worst = std::max(worst, packed_error({{70}, {150}, 1, 64}, packed));
      worst = std::max(worst, paged_error({{300, 90}, {2, 70}, 64, 4, 2, 64},
                                          [=](cudaStream_t stream, Tensor out, Tensor q, KvLayer pages,
                                              const PagedSpans& spans, float scale, float* partials) {
                                            paged(stream, out, q, pages, spans, scale, 2, partials);
                                          }));
      emulation::clear_failure();
    }
  }
  emulation::set_lane_order(LaneOrder::forward);
  return worst;
}

TEST(CudaAttentionFaults, TheKernelsAsTheyAreAreRight) {
  EXPECT_LT(worst_of(packed_attention_tiles, paged_attention_tiles), kBf16);
}

TEST(CudaAttentionFaults, ABarrierLessInTheLoopOverTilesIsCaught) {
  EXPECT_GT(worst_of(no_tile_barrier::packed_attention_tiles, paged_attention_tiles), 0.1);
  EXPECT_GT(worst_of(packed_attention_tiles, no_tile_barrier::paged_attention_tiles), 0.1);
}

TEST(CudaAttentionFaults, ABarrierLessBeforeTheMergeOfWarpsIsCaught) {
  EXPECT_GT(worst_of(packed_attention_tiles, no_merge_barrier::paged_attention_tiles), 0.1);
}

TEST(CudaAttentionFaults, AMissingWaitForCopiesIsCaught) {
  EXPECT_GT(worst_of(no_copy_wait::packed_attention_tiles, paged_attention_tiles), 0.1);
  EXPECT_GT(worst_of(packed_attention_tiles, no_copy_wait::paged_attention_tiles), 0.1);
}

TEST(CudaAttentionFaults, AWrongFragmentIsCaught) {
  EXPECT_GT(worst_of(wrong_fragment::packed_attention_tiles, paged_attention_tiles), 0.1);
  EXPECT_GT(worst_of(packed_attention_tiles, wrong_fragment::paged_attention_tiles), 0.1);
}

TEST(CudaAttentionFaults, AMatrixNotTransposedIsCaught) {
  EXPECT_GT(worst_of(no_transpose::packed_attention_tiles, paged_attention_tiles), 0.1);
  EXPECT_GT(worst_of(packed_attention_tiles, no_transpose::paged_attention_tiles), 0.1);
}

TEST(CudaAttentionFaults, WhatFlashInferIsToldWronglyIsCaught) {
  // Tiles of several sequences, of which none is full; pages in any order.
  const PagedCase c{{200, 90, 33, 70}, {150, 70, 1, 3}, 16, 4, 2, 64};
  EXPECT_LT(planned_error(c, paged_attention_flashinfer), kBf16);
  for (const PlannedForm faulty :
       {shared_slots::paged_attention_flashinfer, wrong_table_row::paged_attention_flashinfer,
        wrong_lengths::paged_attention_flashinfer, wrong_results::paged_attention_flashinfer}) {
    EXPECT_GT(planned_error(c, faulty), 0.1);
    emulation::clear_failure();
  }
}

}  // namespace
}  // namespace cuda
}  // namespace uhd
