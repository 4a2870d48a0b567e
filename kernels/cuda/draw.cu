// Draws tokens from rows of logits by the rules of kernels/draw.h: one block takes a row, walks over the
// logits a few times and keeps nothing of them. Sums are of integers, so the order of threads does not
// matter.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/draw.h"

namespace uhd::cuda {
namespace {

// Distances have 30 bits: three digits, each with a thread for every value that it may have.
constexpr int kDigitBits = 10;
constexpr int kThreads = 1 << kDigitBits;
constexpr int kWarps = kThreads / kWarp;
static_assert(kNeverDrawn < 1u << 3 * kDigitBits && kWarps == kWarp);

// The logits of one row: ids r · width + i, i < width, lie behind one another for each shard r.
struct RowLogits {
  const float* first;
  int64_t shard_stride;
  int width;
  __device__ float operator[](int id) const { return first[id / width * shard_stride + id % width]; }
};

// A Cut keeps the ids that are nearer than `distance`, and the first `ties` by id of those that lie at it.
struct Cut {
  uint32_t distance = kNeverDrawn;
  uint64_t ties = 0;
};

// Larger for the larger logit; of equal ones for the smaller id. 0 for NaN.
__device__ uint64_t rank_key(float logit, int id) {
  if (!(logit >= -INFINITY)) return 0;
  const float value = logit + 0.0f;  // of the two zeros, the positive
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const uint32_t ordered = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | ~static_cast<uint32_t>(id);
}

// The largest of all threads' values, to all of them.
__device__ uint64_t block_max(uint64_t value) {
  struct Partial;
  uint64_t* partial = block_array<uint64_t, kWarps, Partial>();
  const auto over_warp = [&] {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, value, step);
      value = other > value ? other : value;
    }
  };
  over_warp();
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = partial[threadIdx.x % kWarp];
  over_warp();
  __syncthreads();
  return value;
}

// The sum over this thread and those before it; `total`: over all.
__device__ uint64_t block_running_sum(uint64_t value, uint64_t& total) {
  struct Partial;
  uint64_t* partial = block_array<uint64_t, kWarps, Partial>();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint64_t within = warp_running_sum(value);
  if (lane == kWarp - 1) partial[warp] = within;
  __syncthreads();
  const uint64_t warps = warp_running_sum(partial[lane]);
  const uint64_t before = __shfl_sync(kAllLanes, warps, warp > 0 ? warp - 1 : 0);
  total = __shfl_sync(kAllLanes, warps, kWarps - 1);
  __syncthreads();
  return within + (warp > 0 ? before : 0);
}

struct Table;
struct Found;

// Returns the cut behind which the amounts of the nearest, amount(distance) each, first reach `wanted`. It is
// found digit by digit, by a table of the amounts that each value of a digit would add. If all amounts
// together do not reach `wanted`, nothing is cut.
template <class Amount>
__device__ Cut nearest(const RowLogits& logits, int vocabulary, float largest, float scale, uint64_t wanted,
                       const Amount& amount) {
  auto* table = block_array<unsigned long long, kThreads, Table>();
  uint64_t* found = block_array<uint64_t, 2, Found>();  // the digit, and the amount before it
  uint32_t above = 0;                                   // the digits found so far
  uint64_t before = 0;
  for (int shift = 2 * kDigitBits; shift >= 0; shift -= kDigitBits) {
    table[threadIdx.x] = 0;
    __syncthreads();
    for (int id = threadIdx.x; id < vocabulary; id += kThreads) {
      const uint32_t distance = draw_distance(logits[id], largest, scale);
      if (distance >= kNeverDrawn || distance >> (shift + kDigitBits) != above) continue;
      atomicAdd(&table[distance >> shift & (kThreads - 1)], amount(distance));
    }
    __syncthreads();
    const uint64_t own = table[threadIdx.x];
    uint64_t total = 0;
    const uint64_t upto = before + block_running_sum(own, total);
    if (before + total < wanted) return {};
    if (upto >= wanted && upto - own < wanted) {
      found[0] = threadIdx.x;
      found[1] = upto - own;
    }
    __syncthreads();
    above = above << kDigitBits | static_cast<uint32_t>(found[0]);
    before = found[1];
    __syncthreads();
  }
  const uint64_t each = amount(above);
  return {above, (wanted - before + each - 1) / each};
}

// The weight of everything inside a cut, to all threads.
__device__ uint64_t weight_within(const RowLogits& logits, int vocabulary, float largest, float scale,
                                  const Cut& cut) {
  uint64_t own = 0, total = 0;
  for (int id = threadIdx.x; id < vocabulary; id += kThreads) {
    const uint32_t distance = draw_distance(logits[id], largest, scale);
    if (distance < cut.distance) own += draw_weight(distance);
  }
  block_running_sum(own, total);
  return total + cut.ties * draw_weight(cut.distance);
}

// One block a row; each warp has a run of ids to walk over at the end.
__global__ void __launch_bounds__(kThreads)
    draw_rows(int* __restrict__ ids, const float* __restrict__ all, int64_t shard_stride, int width,
              int vocabulary, const Draw* __restrict__ draws) {
  const Draw how = draws[blockIdx.x];
  const RowLogits logits{all + int64_t{blockIdx.x} * width, shard_stride, width};
  uint64_t key = 0;
  for (int id = threadIdx.x; id < vocabulary; id += kThreads) {
    const uint64_t own = rank_key(logits[id], id);
    key = own > key ? own : key;
  }
  key = block_max(key);
  const int best = key == 0 ? 0 : static_cast<int>(~static_cast<uint32_t>(key));
  const float largest = key == 0 ? -INFINITY : logits[best];
  const bool finite = fabsf(largest) < INFINITY;
  if (threadIdx.x == 0) ids[blockIdx.x] = finite ? best : -1;
  if (!finite || how.scale == 0) return;

  Cut cut;
  if (how.top_k > 0) {
    cut = nearest(logits, vocabulary, largest, how.scale, static_cast<uint64_t>(how.top_k),
                  [](uint32_t) { return 1ull; });
  }
  if (how.top_p != Draw::kAll) {
    const uint64_t total = weight_within(logits, vocabulary, largest, how.scale, cut);
    cut = nearest(logits, vocabulary, largest, how.scale, wanted_weight(total, how.top_p),
                  [](uint32_t distance) -> unsigned long long { return draw_weight(distance); });
  }
  const auto weight_at = [&](uint32_t distance) {
    const uint64_t weight = draw_weight(distance);
    return weight >= how.least ? weight : 0;
  };
  const uint64_t tie_weight = weight_at(cut.distance);

  struct Nearer;
  struct Ties;
  uint64_t* nearer = block_array<uint64_t, kWarps, Nearer>();
  uint64_t* ties = block_array<uint64_t, kWarps, Ties>();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int run = (vocabulary + kThreads - 1) / kThreads * kWarp;
  const int first = warp * run;
  const int end = first + run < vocabulary ? first + run : vocabulary;
  uint64_t own_weight = 0, own_ties = 0;
  for (int id = first + lane; id < end; id += kWarp) {
    const uint32_t distance = draw_distance(logits[id], largest, how.scale);
    if (distance < cut.distance) own_weight += weight_at(distance);
    if (distance == cut.distance) ++own_ties;
  }
  own_weight = warp_sum(own_weight);
  own_ties = warp_sum(own_ties);
  if (lane == 0) {
    nearer[warp] = own_weight;
    ties[warp] = own_ties;
  }
  __syncthreads();

  // Lane w looks at the run of warp w: the sums over the runs up to it.
  const auto kept_ties = [&](uint64_t upto) { return upto < cut.ties ? upto : cut.ties; };
  const uint64_t ties_upto = warp_running_sum(ties[lane]);
  const uint64_t weight_upto = warp_running_sum(nearer[lane]) + kept_ties(ties_upto) * tie_weight;
  const uint64_t total = __shfl_sync(kAllLanes, weight_upto, kWarp - 1);
  const uint64_t drawn = share_of(total, how.random);
  const int before = warp > 0 ? warp - 1 : 0;
  const uint64_t weight_before = warp > 0 ? __shfl_sync(kAllLanes, weight_upto, before) : 0;
  const uint64_t ties_before = warp > 0 ? __shfl_sync(kAllLanes, ties_upto, before) : 0;
  if (drawn < weight_before || drawn >= __shfl_sync(kAllLanes, weight_upto, warp)) return;

  // The token is in this warp's run.
  uint64_t weight_seen = weight_before, ties_seen = ties_before;
  for (int start = first; start < end; start += kWarp) {
    const int id = start + lane;
    const uint32_t distance = id < end ? draw_distance(logits[id], largest, how.scale) : kNeverDrawn;
    const bool tie = id < end && distance == cut.distance;
    const uint64_t ties_here = ties_seen + warp_running_sum(uint64_t{tie});
    uint64_t weight = distance < cut.distance ? weight_at(distance) : 0;
    if (tie && ties_here <= cut.ties) weight = tie_weight;
    const uint64_t upto = weight_seen + warp_running_sum(weight);
    if (upto > drawn && upto - weight <= drawn) ids[blockIdx.x] = id;
    weight_seen = __shfl_sync(kAllLanes, upto, kWarp - 1);
    ties_seen = __shfl_sync(kAllLanes, ties_here, kWarp - 1);
    if (weight_seen > drawn) return;
  }
}

}  // namespace

void queue(cudaStream_t stream, const ops::Draw& op) {
  if (op.ids.rows() == 0) return;
  const int64_t width = op.logits.dim(2);
  launch(draw_rows, blocks(op.ids.rows(), 1), kThreads, 0, stream, op.ids.data<int32_t>(),
         op.logits.data<float>(), op.logits.dim(1) * width, static_cast<int>(width),
         static_cast<int>(op.vocabulary), reinterpret_cast<const Draw*>(op.draws.data<int32_t>()));
}

}  // namespace uhd::cuda
