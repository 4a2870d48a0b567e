#include "kernels/cuda/peer_sum.h"

#include <algorithm>
#include <iterator>

#include "kernels/cuda/peer_epoch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/rows.cuh"

namespace uhd::cuda {
namespace {

constexpr int kMostThreads = 512;
// A channel more for each such part, one access a thread: the fewest bytes that a block is worth.
constexpr size_t kBusyChannelBytes = kMostThreads * 16;
constexpr uint32_t kPollsBetweenLooks = 256;  // looks cross the bus to the host

// Indexing by a number that the compiler does not know would put the kernel's argument into local memory.
__device__ PeerBuffer* buffer_of(const Peers& peers, int rank) {
  PeerBuffer* buffer = peers.of[0];
#pragma unroll
  for (int r = 1; r < kMostPeers; ++r)
    if (r == rank) buffer = peers.of[r];
  return buffer;
}

// Returns true if the block must stop waiting for `rank`.
__device__ bool is_over(const Peers& peers, int rank, uint64_t& began) {
  if (load_acquire_system(peers.ended) != 0) return true;
  const uint64_t now = clock_ns();
  if (began == 0) began = now;
  if (now - began < peers.limit_ns) return false;
  store_release_system(peers.ended, static_cast<uint32_t>(rank) + 1);
  return true;
}

// Returns when this block's counterpart on every rank has come to `epoch`. Values that
// they wrote before may be read behind it.
__device__ void meet(const Peers& peers, uint32_t epoch) {
  __syncthreads();  // the flags stand for the whole block
  const int other = static_cast<int>(threadIdx.x);
  if (other < peers.size) {
    store_release_system(&buffer_of(peers, other)->flags.channels[blockIdx.x].came[peers.rank], epoch);
    const uint32_t* came = &buffer_of(peers, peers.rank)->flags.channels[blockIdx.x].came[other];
    uint64_t began = 0;
    for (uint32_t polls = 1; is_before(load_acquire_system(came), epoch); ++polls) {
      if (polls % kPollsBetweenLooks == 0 && is_over(peers, other, began)) break;
      pause_lane();
    }
  }
  __syncthreads();
}

// Returns the block's place on a rank.
template <class T>
__device__ T* place(const Peers& peers, int rank, uint32_t last) {
  return reinterpret_cast<T*>(buffer_of(peers, rank)->halves[half_of_call(last)][blockIdx.x]);
}

// All loads before the first addition: each crosses the link.
template <class T, int N>
__device__ Packed<T, N> sum_of_ranks(const Peers& peers, uint32_t last, int at) {
  Packed<T, N> parts[kMostPeers]{};
#pragma unroll
  for (int r = 0; r < kMostPeers; ++r)
    if (r < peers.size) parts[r] = load_aligned<Packed<T, N>>(place<T>(peers, r, last) + at);
  float sums[N];
#pragma unroll
  for (int i = 0; i < N; ++i) sums[i] = to_float(parts[0].values[i]);
#pragma unroll
  for (int r = 1; r < kMostPeers; ++r)
    if (r < peers.size) {
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] += to_float(parts[r].values[i]);
    }
  Packed<T, N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) out.values[i] = from_float<T>(sums[i]);
  return out;
}

// The part of block b: elements [b·part, (b + 1)·part) of x.
template <class T>
struct Part {
  T* x;
  int count;
};
template <class T>
__device__ Part<T> part_of_block(T* x, int count, int part) {
  const int first = static_cast<int>(blockIdx.x) * part;
  return {x + first, count - first < part ? count - first : part};
}

template <class T, int N>
__device__ void put_values(const Part<T>& own, T* to) {
  for (int i = static_cast<int>(threadIdx.x) * N; i < own.count; i += static_cast<int>(blockDim.x) * N)
    store_aligned(to + i, load_aligned<Packed<T, N>>(own.x + i));
}

// One block a channel, N elements an access.
template <class T, int N>
__global__ void __launch_bounds__(kMostThreads) sum_one_shot(T* x, int count, int part, Peers peers) {
  const Part<T> own = part_of_block(x, count, part);
  PeerChannel& channel = buffer_of(peers, peers.rank)->flags.channels[blockIdx.x];
  const uint32_t last = channel.epoch;
  put_values<T, N>(own, place<T>(peers, peers.rank, last));
  meet(peers, epoch_of_values(last));
  for (int i = static_cast<int>(threadIdx.x) * N; i < own.count; i += static_cast<int>(blockDim.x) * N)
    store_aligned(own.x + i, sum_of_ranks<T, N>(peers, last, i));
  if (threadIdx.x == 0) channel.epoch = epoch_behind_call(last);
}

// Sums in two shots: of a block's part, rank r sums elements [r·share, (r + 1)·share). Only rank r reads its
// own values there, so it writes the sums over them.
template <class T, int N>
__global__ void __launch_bounds__(kMostThreads)
    sum_two_shot(T* x, int count, int part, int share, Peers peers) {
  const Part<T> own = part_of_block(x, count, part);
  PeerChannel& channel = buffer_of(peers, peers.rank)->flags.channels[blockIdx.x];
  const uint32_t last = channel.epoch;
  T* mine = place<T>(peers, peers.rank, last);
  put_values<T, N>(own, mine);
  meet(peers, epoch_of_values(last));
  const int step = static_cast<int>(blockDim.x) * N;
  const int first = peers.rank * share, end = first + share < own.count ? first + share : own.count;
  for (int i = first + static_cast<int>(threadIdx.x) * N; i < end; i += step)
    store_aligned(mine + i, sum_of_ranks<T, N>(peers, last, i));
  meet(peers, epoch_of_sums(last));
  for (int i = static_cast<int>(threadIdx.x) * N; i < share; i += step) {
    Packed<T, N> sums[kMostPeers]{};
#pragma unroll
    for (int r = 0; r < kMostPeers; ++r)
      if (r < peers.size && r * share + i < own.count)
        sums[r] = load_aligned<Packed<T, N>>(place<T>(peers, r, last) + r * share + i);
#pragma unroll
    for (int r = 0; r < kMostPeers; ++r)
      if (r < peers.size && r * share + i < own.count) store_aligned(own.x + r * share + i, sums[r]);
  }
  if (threadIdx.x == 0) channel.epoch = epoch_behind_call(last);
}

int round_up(int64_t n, int unit) { return static_cast<int>((n + unit - 1) / unit * unit); }

}  // namespace

void fill_flags(PeerFlags& host) {
  host = {};
  for (PeerChannel& channel : host.channels) {
    std::fill(std::begin(channel.came), std::end(channel.came), kFirstEpoch);
    channel.epoch = kFirstEpoch;
  }
}

Shots usual_shots(size_t bytes, int ranks) {
  if (ranks <= 2) return Shots::one;
  return bytes <= (ranks <= 4 ? size_t{512} << 10 : size_t{256} << 10) ? Shots::one : Shots::two;
}

// The elements of a channel, and of a rank, must not depend on how x is aligned here.
void sum_over_peers(cudaStream_t stream, Tensor x, const Peers& peers, Shots shots) {
  check(x.dense() && x.bytes() <= kMostSummedBytes, "peers sum at most ", kMostSummedBytes,
        " dense bytes, not ", x.bytes());
  check(peers.size >= 1 && peers.size <= kMostPeers, "peers are at most ", kMostPeers, ", not ", peers.size);
  if (x.elements() == 0) return;
  const int count = static_cast<int>(x.elements());
  const auto channels = std::min<int64_t>(
      kChannels, static_cast<int64_t>((x.bytes() + kBusyChannelBytes - 1) / kBusyChannelBytes));
  const auto run = [&]<class T, int N>() {
    const int part = round_up((count + channels - 1) / channels, kWide<T>);
    const int share = round_up((part + peers.size - 1) / peers.size, kWide<T>);
    const unsigned threads = std::min(kMostThreads, round_up(part / N, kWarp));
    auto* const data = static_cast<T*>(x.raw());
    if (shots == Shots::one) {
      launch(sum_one_shot<T, N>, blocks(count, part), threads, 0, stream, data, count, part, peers);
    } else {
      launch(sum_two_shot<T, N>, blocks(count, part), threads, 0, stream, data, count, part, share, peers);
    }
  };
  with_width(count, run, x);
}

}  // namespace uhd::cuda
