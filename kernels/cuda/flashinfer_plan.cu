#include "kernels/cuda/flashinfer_plan.h"

#include "kernels/cuda/device.cuh"

#include "kernels/cuda/attention_plan.h"

namespace uhd::cuda {
namespace {

constexpr int kPlanThreads = 128;

struct PlanArguments {
  FlashInferPlan to;
  FlashInferRows take;
  const int32_t* q_offsets;
  const int32_t* kv_lengths;
  const int32_t* page_table;
  int64_t table_stride;
  int sequences;
  int rows;  // of q
  int group;
  int page;  // tokens of a page
  int pages;
  int table_pages;  // of one sequence
};

// One block plans one sequence: its row of the page table and its slots. The last block also plans the slots
// behind them.
__global__ void __launch_bounds__(kPlanThreads) plan_sequence(PlanArguments a) {
  const int s = blockIdx.x, thread = threadIdx.x;
  const bool last = s + 1 == a.sequences;
  const int first = a.q_offsets[s], end = a.q_offsets[s + 1], keys = a.kv_lengths[s];
  device_check(0 <= first && first <= end && end <= a.rows && end - first <= keys &&
               keys <= int64_t{a.table_pages} * a.page);
  const int rows = (end - first) * a.group;
  const int taken = rows > a.take.above && rows <= a.take.most ? rows : 0;

  const int table_row = static_cast<int>(s * a.table_stride);
  if (thread == 0) {
    a.to.kv_indptr[s] = table_row;
    if (last) {
      a.to.kv_indptr[s + 1] = table_row + a.table_pages;
      *a.to.kv_chunk_size = a.table_pages * a.page;
    }
  }
  for (int i = thread; i < a.table_pages; i += kPlanThreads) {
    const int at = a.page_table[table_row + i];
    device_check(0 <= at && at < a.pages);
  }

  const auto from = static_cast<int>(first_slot(s, first, a.group, a.take.tile));
  const auto to = last ? a.to.slots : static_cast<int>(first_slot(s + 1, end, a.group, a.take.tile));
  for (int slot = from + thread; slot < to; slot += kPlanThreads) {
    const int tile = slot - from;
    const bool valid = int64_t{tile} * a.take.tile < taken;
    a.to.request_indices[slot] = valid ? s : 0;
    a.to.qo_tile_indices[slot] = valid ? tile : 0;
    a.to.kv_tile_indices[slot] = 0;
    a.to.block_valid_mask[slot] = valid;
  }
}

}  // namespace

FlashInferPlan flashinfer_plan(cudaStream_t stream, void* memory, const FlashInferRows& take, Tensor q,
                               const KvLayer& pages, const PagedSpans& spans) {
  const int64_t sequences = spans.kv_lengths.dim(0), group = q.dim(1) / pages.k.dim(2);
  const int64_t slots = first_slot(sequences, q.rows(), group, take.tile);
  auto* at = static_cast<int32_t*>(memory);
  const auto next = [&](int64_t count) {
    at += count;
    return at - count;
  };
  const FlashInferPlan plan{.slots = static_cast<int>(slots),
                            .kv_indptr = next(sequences + 1),
                            .kv_chunk_size = next(1),
                            .request_indices = next(slots),
                            .qo_tile_indices = next(slots),
                            .kv_tile_indices = next(slots),
                            .block_valid_mask = reinterpret_cast<bool*>(next(0))};
  launch(plan_sequence, dim3(static_cast<unsigned>(sequences)), dim3(kPlanThreads), 0, stream,
         PlanArguments{.to = plan,
                       .take = take,
                       .q_offsets = spans.q_offsets.data<int32_t>(),
                       .kv_lengths = spans.kv_lengths.data<int32_t>(),
                       .page_table = spans.page_table.data<int32_t>(),
                       .table_stride = spans.page_table.row_stride(),
                       .sequences = static_cast<int>(sequences),
                       .rows = static_cast<int>(q.rows()),
                       .group = static_cast<int>(group),
                       .page = static_cast<int>(pages.k.dim(1)),
                       .pages = static_cast<int>(pages.k.rows()),
                       .table_pages = static_cast<int>(spans.page_table.dim(1))});
  return plan;
}

}  // namespace uhd::cuda
