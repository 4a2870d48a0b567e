// Tests sums over peers, with ranks as threads that have a device each: every rank gets the bits of the
// definition, whatever the sizes, the order of threads and the rank that lags; and the same kernels with one
// thing broken do not.
#include "kernels/cuda/peer_sum.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "cluster/host/rank_sum.h"
#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "kernels/cuda/check.h"

namespace uhd {

// Signature of every broken twin.
#define UHD_TWIN(fault)                                                                            \
  namespace fault {                                                                                \
  void sum_over_peers(cudaStream_t stream, Tensor x, const cuda::Peers& peers, cuda::Shots shots); \
  }
UHD_TWIN(no_wait)
UHD_TWIN(no_block_barrier)
UHD_TWIN(one_half)
UHD_TWIN(stale_epoch)
UHD_TWIN(no_second_meeting)

namespace {

using cuda::check_cuda;
using cuda::Peers;
using cuda::Shots;
using emulation::LaneOrder;
using Sum = decltype(&cuda::sum_over_peers);

constexpr LaneOrder kOrders[] = {LaneOrder::forward, LaneOrder::reverse, LaneOrder::shuffled,
                                 LaneOrder::run_ahead};
constexpr size_t kRoom = cuda::kMostSummedBytes + 16;

thread_local int this_rank = -1;

// One rank stands still, whenever it has met the others, until they have gone as far as they can without it:
// to their next meeting.
class Straggler {
 public:
  Straggler(int rank, int ranks) : rank_(rank), stores_(static_cast<size_t>(ranks)) {
    emulation::watch_flags({[this](const uint32_t*, uint32_t) { stored(); },
                            [this](const uint32_t* flag, uint32_t value) { loaded(flag, value); }});
  }
  ~Straggler() { emulation::watch_flags({}); }
  void done() {
    const std::lock_guard lock(mutex_);
    stores_[static_cast<size_t>(this_rank)] = 1 << 30;
    changed_.notify_all();
  }

 private:
  void stored() {
    const std::lock_guard lock(mutex_);
    ++stores_[static_cast<size_t>(this_rank)];
    changed_.notify_all();
  }
  void loaded(const uint32_t* flag, uint32_t value) {
    if (this_rank != rank_) return;
    const auto [at, fresh] = seen_.try_emplace(flag, cuda::kFirstEpoch);
    if (std::exchange(at->second, value) == value) return;
    std::unique_lock lock(mutex_);
    const int own = stores_[static_cast<size_t>(rank_)];
    if (own % static_cast<int>(stores_.size()) != 0) return;  // not all its flags are out
    changed_.wait_for(lock, std::chrono::milliseconds(100), [&] {
      return std::all_of(stores_.begin(), stores_.end(), [&](const int& stores) {
        return &stores == &stores_[static_cast<size_t>(rank_)] || stores > own;
      });
    });
  }

  const int rank_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> stores_;
  std::map<const uint32_t*, uint32_t> seen_;  // the straggler's own
};

// Small numbers, so that any wrong one changes the sum; of which round they are can be told.
template <class T>
std::vector<T> values(int rank, int round, int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(rank * 7919 + round * 104729 + n));
  std::normal_distribution<float> normal(0.f, 3.f);
  std::vector<T> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(static_cast<T>(normal(random)));
  return v;
}

template <class T>
std::vector<T> expected(int ranks, int round, int64_t n) {
  std::vector<std::vector<T>> all;
  for (int r = 0; r < ranks; ++r) all.push_back(values<T>(r, round, n));
  std::vector<const void*> parts;
  for (const auto& part : all) parts.push_back(part.data());
  std::vector<T> out(static_cast<size_t>(n));
  sum_in_rank_order(std::is_same_v<T, float> ? DType::f32 : DType::bf16, out.data(), parts, out.size());
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// A Rank is one rank's device and the memory it shares.
struct Rank {
  Peers peers{};
  cudaStream_t stream = nullptr;
  std::byte* x = nullptr;

  template <class T>
  Tensor tensor(int64_t n, int64_t offset = 0) const {
    return Tensor(reinterpret_cast<T*>(x) + offset, std::is_same_v<T, float> ? DType::f32 : DType::bf16, {n});
  }
  void put(Tensor to, const void* from) const {
    check_cuda(cudaMemcpyAsync(to.raw(), from, to.bytes(), cudaMemcpyHostToDevice, stream), "put");
  }
  void get(void* to, Tensor from) const {
    check_cuda(cudaMemcpyAsync(to, from.raw(), from.bytes(), cudaMemcpyDeviceToHost, stream), "get");
    check_cuda(cudaStreamSynchronize(stream), "get");
  }
};

class Group {
 public:
  explicit Group(int size, std::chrono::nanoseconds limit = std::chrono::minutes(1))
      : ranks_(static_cast<size_t>(size)) {
    emulation::set_devices(cuda::kMostPeers);
    cuda::PeerFlags flags;
    cuda::fill_flags(flags);
    Peers peers{};
    peers.size = size;
    peers.limit_ns = static_cast<uint64_t>(limit.count());
    for (int r = 0; r < size; ++r) {
      Rank& rank = at(r);
      check_cuda(cudaSetDevice(r), "device");
      for (int other = 0; other < size; ++other)
        if (other != r && !emulation::reaches(r, other))
          check_cuda(cudaDeviceEnablePeerAccess(other, 0), "peer access");
      check_cuda(cudaMalloc(reinterpret_cast<void**>(&peers.of[r]), sizeof(cuda::PeerBuffer)), "shared");
      check_cuda(cudaMalloc(reinterpret_cast<void**>(&rank.x), kRoom), "own");
      check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&rank.peers.ended), sizeof(uint32_t), 0), "ended");
      check_cuda(cudaMemcpy(peers.of[r], &flags, sizeof(flags), cudaMemcpyHostToDevice), "flags");
    }
    for (int r = 0; r < size; ++r) {
      uint32_t* const ended = at(r).peers.ended;
      at(r).peers = peers;
      at(r).peers.rank = r;
      at(r).peers.ended = ended;
      *ended = 0;
    }
  }
  ~Group() {
    for (const Rank& rank : ranks_) {
      cudaFree(rank.x);
      cudaFree(rank.peers.of[rank.peers.rank]);
      cudaFreeHost(rank.peers.ended);
    }
  }

  Rank& at(int r) { return ranks_[static_cast<size_t>(r)]; }
  int size() const { return static_cast<int>(ranks_.size()); }

  // act(rank) on a thread of each of the first `come` ranks.
  template <class F>
  void run(const F& act, int come = 1 << 20) {
    std::vector<std::jthread> threads;
    for (int r = 0; r < std::min(come, size()); ++r) {
      threads.emplace_back([this, r, &act] {
        this_rank = r;
        Rank& rank = at(r);
        cudaSetDevice(r);
        check_cuda(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking), "stream");
        act(rank);
        cudaStreamDestroy(rank.stream);
      });
    }
  }

 private:
  std::vector<Rank> ranks_;
};

class PeerSums : public testing::Test {
 protected:
  ~PeerSums() override {
    emulation::set_lane_order(LaneOrder::forward);
    EXPECT_EQ(emulation::failure(), "");
    emulation::check_guards();
    EXPECT_EQ(emulation::failure(), "");
  }
};

// Around an access, a warp, a block's work, a channel more, and all that fits.
template <class T>
std::vector<int64_t> sizes() {
  const auto busy = static_cast<int64_t>(8192 / sizeof(T));
  const auto most = static_cast<int64_t>(cuda::kMostSummedBytes / sizeof(T));
  return {1, 3, 7, 8, 511, 513, busy - 8, busy, busy + 1, 5 * busy + 24, most / 3, most - 1, most};
}

template <class T>
void sums_hold(int ranks, const std::vector<int64_t>& sizes) {
  Group group(ranks);
  std::map<int64_t, std::vector<T>> wanted;
  for (const int64_t n : sizes) wanted[n] = expected<T>(ranks, 0, n);
  group.run([&](Rank& rank) {
    for (const Shots shots : {Shots::one, Shots::two}) {
      for (const int64_t n : sizes) {
        const auto own = values<T>(this_rank, 0, n);
        // Ranks need not align alike.
        const Tensor x = rank.tensor<T>(n, n % 5 == 0 ? this_rank : 0);
        rank.put(x, own.data());
        cuda::sum_over_peers(rank.stream, x, rank.peers, shots);
        std::vector<T> got(own.size());
        rank.get(got.data(), x);
        EXPECT_TRUE(same_bits(got, wanted[n])) << n << " elements, rank " << this_rank << ", "
                                               << (shots == Shots::one ? "one" : "two") << "-shot";
      }
    }
  });
}

TEST_F(PeerSums, AreTheRankOrderSumOnEveryRank) {
  for (const int ranks : {2, 4, 8}) {
    sums_hold<float>(ranks, sizes<float>());
    sums_hold<bf16>(ranks, sizes<bf16>());
  }
}

TEST_F(PeerSums, HoldForAnyNumberOfRanks) {
  for (const int ranks : {1, 3, 5, 6, 7}) sums_hold<bf16>(ranks, {1, 100, 4097, 33000});
}

TEST_F(PeerSums, HoldUnderEveryOrder) {
  for (const LaneOrder order : kOrders) {
    emulation::set_lane_order(order, 5);
    sums_hold<bf16>(4, {1, 513, 4096, 30001});
    sums_hold<float>(8, {7, 2048, 15000});
  }
}

TEST_F(PeerSums, AreCloseToThoseInDoublePrecision) {
  constexpr int64_t kCount = 5000;
  constexpr int kRanks = 8;
  const auto sums = expected<float>(kRanks, 3, kCount);  // the kernels give these, bit for bit
  std::vector<double> exact(kCount), size(kCount);
  for (int r = 0; r < kRanks; ++r) {
    const auto x = values<float>(r, 3, kCount);
    for (size_t i = 0; i < x.size(); ++i) exact[i] += x[i], size[i] += std::abs(x[i]);
  }
  for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(sums[i], exact[i], kRanks * 6e-8 * size[i]);
}

// Returns how many of many calls, queued back to back, came out wrong on any rank.
int wrong_rounds(Sum sum, int ranks, Shots shots, int rounds, int64_t n, int straggler,
                 std::chrono::nanoseconds limit = std::chrono::minutes(1)) {
  Group group(ranks, limit);
  std::vector<std::vector<float>> wanted;
  for (int round = 0; round < rounds; ++round) wanted.push_back(expected<float>(ranks, round, n));
  std::atomic<int> wrong = 0;
  Straggler lags(straggler, ranks);
  group.run([&](Rank& rank) {
    for (int round = 0; round < rounds; ++round) {
      const auto own = values<float>(this_rank, round, n);
      const Tensor x = rank.tensor<float>(n, round * n);
      rank.put(x, own.data());
      sum(rank.stream, x, rank.peers, shots);
    }
    std::vector<float> got(static_cast<size_t>(n * rounds));
    rank.get(got.data(), rank.tensor<float>(n * rounds));
    lags.done();
    for (int round = 0; round < rounds; ++round) {
      const float* first = got.data() + round * n;
      wrong += !same_bits(std::vector<float>(first, first + n), wanted[static_cast<size_t>(round)]);
    }
  });
  return wrong;
}

TEST_F(PeerSums, HoldBackToBackWhoeverLags) {
  for (const LaneOrder order : {LaneOrder::forward, LaneOrder::run_ahead}) {
    emulation::set_lane_order(order, 11);
    for (const int straggler : {0, 2}) {
      EXPECT_EQ(wrong_rounds(cuda::sum_over_peers, 3, Shots::one, 30, 700, straggler), 0);
      EXPECT_EQ(wrong_rounds(cuda::sum_over_peers, 3, Shots::two, 30, 700, straggler), 0);
    }
  }
}

struct Broken {
  const char* name;
  Sum sum;
  Shots shots;
};
class PeerFaults : public testing::TestWithParam<Broken> {
 protected:
  ~PeerFaults() override {
    emulation::set_lane_order(LaneOrder::forward);
    emulation::clear_failure();
  }
};

TEST_P(PeerFaults, AreSeen) {
  emulation::set_lane_order(LaneOrder::run_ahead, 3);
  // Some wait for ever: a sum that the limit ends is wrong too.
  EXPECT_GT(wrong_rounds(GetParam().sum, 3, GetParam().shots, 8, 700, 1, std::chrono::seconds(5)), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Each, PeerFaults,
    testing::Values(Broken{"NoWaitForPeers", no_wait::sum_over_peers, Shots::one},
                    Broken{"NoWaitForPeersInTwoShots", no_wait::sum_over_peers, Shots::two},
                    Broken{"FlagsBeforeTheBlockIsReady", no_block_barrier::sum_over_peers, Shots::one},
                    Broken{"ABufferReusedTooEarly", one_half::sum_over_peers, Shots::one},
                    Broken{"AStaleEpoch", stale_epoch::sum_over_peers, Shots::one},
                    Broken{"AStaleEpochInTwoShots", stale_epoch::sum_over_peers, Shots::two},
                    Broken{"NoMeetingBeforeSumsAreRead", no_second_meeting::sum_over_peers, Shots::two}),
    [](const auto& test) { return test.param.name; });

// Both forms and several sizes share channels; the rank that lags changes with the threads' own timing.
TEST_F(PeerSums, HoldWhileSizesAndFormsChange) {
  constexpr int kRanks = 4, kRounds = 60;
  Group group(kRanks);
  const auto size_of_round = [](int round) { return int64_t{1} + (round * 7919) % 9000; };
  const auto shots_of_round = [](int round) { return round % 3 == 0 ? Shots::two : Shots::one; };
  std::vector<std::vector<bf16>> wanted;
  for (int round = 0; round < kRounds; ++round)
    wanted.push_back(expected<bf16>(kRanks, round, size_of_round(round)));
  group.run([&](Rank& rank) {
    int64_t at = 0;
    for (int round = 0; round < kRounds; ++round) {
      const int64_t n = size_of_round(round);
      const Tensor x = rank.tensor<bf16>(n, at);
      rank.put(x, values<bf16>(this_rank, round, n).data());
      cuda::sum_over_peers(rank.stream, x, rank.peers, shots_of_round(round));
      at += (n + 7) / 8 * 8;
    }
    std::vector<bf16> got(static_cast<size_t>(at));
    rank.get(got.data(), rank.tensor<bf16>(at));
    at = 0;
    for (int round = 0; round < kRounds; ++round) {
      const int64_t n = size_of_round(round);
      const auto first = got.begin() + at;
      EXPECT_TRUE(same_bits(std::vector<bf16>(first, first + n), wanted[static_cast<size_t>(round)]))
          << round;
      at += (n + 7) / 8 * 8;
    }
  });
}

// A graph holds several sums, each of the values that the one before left: powers of the number of ranks.
TEST_F(PeerSums, RunAgainWithEveryLaunchOfTheirGraph) {
  constexpr int kRanks = 4, kLaunches = 40;
  constexpr int64_t kCount = 5000;
  for (const LaneOrder order : kOrders) {
    emulation::set_lane_order(order, 17);
    Group group(kRanks);
    group.run([&](Rank& rank) {
      const Tensor x = rank.tensor<float>(kCount);
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t executable = nullptr;
      check_cuda(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal), "capture");
      cuda::sum_over_peers(rank.stream, x, rank.peers, Shots::one);
      cuda::sum_over_peers(rank.stream, rank.tensor<float>(100), rank.peers, Shots::two);
      cuda::sum_over_peers(rank.stream, x, rank.peers, Shots::two);
      check_cuda(cudaStreamEndCapture(rank.stream, &graph), "capture");
      check_cuda(cudaGraphInstantiate(&executable, graph, 0), "graph");
      std::vector<float> got(kCount);
      for (int launch = 0; launch < kLaunches; ++launch) {
        const std::vector<float> own(kCount, static_cast<float>(launch + this_rank));
        rank.put(x, own.data());
        check_cuda(cudaGraphLaunch(executable, rank.stream), "launch");
        rank.get(got.data(), x);
        const float sum = static_cast<float>(kRanks * launch + 6);
        EXPECT_EQ(got[0], sum * kRanks * kRanks) << launch;
        EXPECT_EQ(got[99], sum * kRanks * kRanks) << launch;
        EXPECT_EQ(got[100], sum * kRanks) << launch;
        EXPECT_EQ(got[kCount - 1], sum * kRanks) << launch;
      }
      cudaGraphExecDestroy(executable);
      cudaGraphDestroy(graph);
    });
  }
}

TEST_F(PeerSums, EndWhenAPeerDoesNotComeWithinTheLimit) {
  Group group(3, std::chrono::milliseconds(300));
  const auto act = [&](Rank& rank) {
    for (int i = 0; i < 3; ++i)
      cuda::sum_over_peers(rank.stream, rank.tensor<float>(9000), rank.peers,
                           i == 1 ? Shots::two : Shots::one);
    check_cuda(cudaStreamSynchronize(rank.stream), "waiting");
    EXPECT_THAT(*rank.peers.ended, testing::AllOf(testing::Ge(1u), testing::Le(3u)))
        << "the rank that is missed";
  };
  group.run(act, 2);
}

TEST_F(PeerSums, EndWhenTheHostSaysSo) {
  Group group(2, std::chrono::hours(1));
  std::atomic<bool> waits = false;
  emulation::watch_flags({{}, [&](const uint32_t*, uint32_t) { waits = true; }});
  std::jthread host([&] {
    while (!waits) std::this_thread::yield();
    std::atomic_ref(*group.at(0).peers.ended).store(cuda::kEndedByHost);
  });
  group.run(
      [&](Rank& rank) {
        cuda::sum_over_peers(rank.stream, rank.tensor<float>(9000), rank.peers, Shots::two);
        check_cuda(cudaStreamSynchronize(rank.stream), "waiting");
      },
      1);
  emulation::watch_flags({});
}

TEST_F(PeerSums, AreRefusedWhenTheyDoNotFit) {
  Group group(2);
  Rank& rank = group.at(0);
  EXPECT_THROW(
      cuda::sum_over_peers(nullptr, Tensor(rank.x, DType::f32, {(2 << 18) + 1}), rank.peers, Shots::one),
      Error);
}

}  // namespace
}  // namespace uhd
