// Tests the NCCL communicator over the strict stand-in: ranks are threads, each with an emulated device of
// its own.
#include "cluster/nccl/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "cluster/host/local_communicator.h"
#include "cluster/launch/device_group.h"
#include "emulation/cuda.h"
#include "emulation/nccl_watch.h"
#include "emulation/streams.h"
#include "tests/cluster/communicator_contract.h"
#include "tests/cuda/nccl_ranks.h"
#include "tests/cuda/on_device.h"

namespace uhd {
namespace {

using testing::HasSubstr;

// act(backend, group) on `size` ranks of one group.
template <class F>
void on_each_rank(int size, const F& act) {
  on_each_device(size, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group = make_nccl_communicator(backend, id, rank, size, kPatient);
    act(backend, *group);
  });
}

Tensor floats(const DeviceBuffer& buffer, int64_t n) { return buffer.as(DType::f32, {n}); }

class NcclGroups : public testing::TestWithParam<std::tuple<int, size_t>> {
 protected:
  ~NcclGroups() override { EXPECT_EQ(emulation::failure(), ""); }
};

TEST_P(NcclGroups, Holds) {
  on_each_rank(std::get<0>(GetParam()), [](Backend& backend, Communicator& group) {
    OnDevice outside(backend, group);
    contract::claims()[std::get<1>(GetParam())].check(outside);
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, NcclGroups,
                         testing::Combine(testing::Values(1, 2, 3),
                                          testing::Range(size_t{0}, contract::claims().size())),
                         [](const auto& test) {
                           return message(contract::claims()[std::get<1>(test.param)].name,
                                          std::get<0>(test.param), "Ranks");
                         });

class NcclFaults : public testing::Test {
 protected:
  ~NcclFaults() override {
    emulation::set_nccl_tells_of_the_lost(false);
    EXPECT_EQ(emulation::failure(), "");
  }
};

TEST_F(NcclFaults, UnequalCountsAreAnErrorOfBoth) {
  std::latch both(2);
  on_each_rank(2, [&](Backend& backend, Communicator& group) {
    const DeviceBuffer x = backend.allocate(64);
    EXPECT_THAT(thrown([&] {
                  group.all_reduce(floats(x, 8 + group.rank()));
                  backend.synchronize();
                }),
                HasSubstr("expects"));
    both.arrive_and_wait();
  });
}

TEST_F(NcclFaults, AnotherOrderOfCallsIsAnErrorOfBoth) {
  std::latch both(2);
  on_each_rank(2, [&](Backend& backend, Communicator& group) {
    const DeviceBuffer x = backend.allocate(64);
    EXPECT_THAT(thrown([&] {
                  if (group.rank() == 0) group.broadcast(floats(x, 8), 0);
                  group.all_reduce(floats(x, 8));
                  if (group.rank() == 1) group.broadcast(floats(x, 8), 0);
                  backend.synchronize();
                }),
                HasSubstr("came with"));
    both.arrive_and_wait();
  });
}

TEST_F(NcclFaults, ALostRankIsAnErrorOfThoseThatWaitForIt) {
  emulation::set_nccl_tells_of_the_lost(true);
  on_each_rank(3, [](Backend& backend, Communicator& group) {
    group.barrier();
    if (group.rank() == 2) return;  // leaves without a word
    const DeviceBuffer x = backend.allocate(64);
    EXPECT_NE(thrown([&] {
                group.all_reduce(floats(x, 8));
                backend.synchronize();
              }),
              "");
  });
}

// NCCL frees a communicator only when no graph holds an operation of it, and the thread that waits for the
// device holds the graphs.
TEST_F(NcclFaults, ALostRankIsAnErrorThoughStepsAreRecorded) {
  emulation::set_nccl_tells_of_the_lost(true);
  on_each_rank(2, [](cuda::Backend& backend, Communicator& group) {
    const DeviceBuffer x = backend.allocate(64);
    group.all_reduce(floats(x, 8));
    const auto recording = backend.record([&] { group.all_reduce(floats(x, 8)); });
    group.barrier();
    if (group.rank() == 1) return;  // leaves without a word
    recording->run();
    const TimePoint begin = Clock::now();
    EXPECT_THAT(thrown([&] { backend.synchronize(); }), HasSubstr("rank 1 is gone"));
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(15));
  });
}

// Between devices that reach each other's memory nothing tells of it but time.
TEST_F(NcclFaults, ALostRankThatNothingTellsOfIsAnErrorAfterTheLimit) {
  on_each_device(2, [](int rank, cuda::Backend& backend, const TransportId& id) {
    const NcclLimits limits{.meet = kPatient.meet, .wait = std::chrono::seconds(2)};
    const auto group = make_nccl_communicator(backend, id, rank, 2, limits);
    const DeviceBuffer x = backend.allocate(64);
    group->all_reduce(floats(x, 8));
    const auto recording = backend.record([&] { group->all_reduce(floats(x, 8)); });
    const auto readback = backend.make_readback(64);
    group->barrier();
    if (rank == 1) return;
    recording->run();
    readback->begin(floats(x, 8));
    EXPECT_THAT(thrown([&] { readback->wait(); }), HasSubstr("did not do its part within 2 s"));
    EXPECT_THAT(thrown([&] { group->all_reduce(floats(x, 8)); }), HasSubstr("did not do its part"));
  });
}

TEST_F(NcclFaults, SumsMakeNoThreads) {
  const int before = emulation::nccl_holdings().threads;
  on_each_rank(2, [](cuda::Backend& backend, Communicator& group) {
    const DeviceBuffer x = backend.allocate(64);
    for (int i = 0; i < 10; ++i) group.all_reduce(floats(x, 8));
    group.barrier();
  });
  EXPECT_EQ(emulation::nccl_holdings().threads, before);
}

TEST_F(NcclFaults, AGroupThatIsRefusedLeavesNoCommunicatorBehind) {
  emulation::set_devices(4);
  const int before = emulation::nccl_holdings().communicators;
  const TransportId id = new_id();
  std::vector<std::jthread> ranks;
  for (int r = 0; r < 2; ++r) {
    ranks.emplace_back([&, r] {
      cuda::Backend backend(device(0));
      EXPECT_NE(thrown([&] { make_nccl_communicator(backend, id, r, 2, kPatient); }), "");
    });
  }
  ranks.clear();
  EXPECT_EQ(emulation::nccl_holdings().communicators, before);
}

TEST_F(NcclFaults, ARankThatDoesNotComeIsAnErrorAfterTheLimit) {
  emulation::set_devices(4);
  cuda::Backend backend(device(0));
  EXPECT_THAT(
      thrown([&] { make_nccl_communicator(backend, new_id(), 0, 2, {std::chrono::milliseconds(50)}); }),
      HasSubstr("did not all come"));
}

TEST_F(NcclFaults, TwoRanksOnOneDeviceAreRefused) {
  emulation::set_devices(4);
  const TransportId id = new_id();
  std::latch both(2);
  std::vector<std::jthread> ranks;
  for (int r = 0; r < 2; ++r) {
    ranks.emplace_back([&, r] {
      cuda::Backend backend(device(0));
      EXPECT_THAT(thrown([&] { make_nccl_communicator(backend, id, r, 2, kPatient); }),
                  HasSubstr("Duplicate GPU"));
      both.arrive_and_wait();
    });
  }
}

TEST_F(NcclFaults, AnIdOfAnotherLengthIsRefused) {
  emulation::set_devices(4);
  cuda::Backend backend(device(0));
  EXPECT_THAT(thrown([&] { make_nccl_communicator(backend, TransportId(3), 0, 2, kPatient); }),
              HasSubstr("128"));
}

TEST_F(NcclFaults, SumsRunAgainWithEveryLaunchOfTheirGraph) {
  on_each_rank(2, [](cuda::Backend& backend, Communicator& group) {
    const DeviceBuffer x = backend.allocate(3 * sizeof(float));
    const float own = static_cast<float>(group.rank() + 1);
    const std::vector<float> ones(3, own);
    backend.upload(floats(x, 3), Tensor::of(ones.data(), {3}));
    group.barrier();
    const cudaStream_t stream = backend.stream();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    group.all_reduce(floats(x, 3));
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    std::vector<float> got(3);
    backend.download(Tensor::of(got.data(), {3}), floats(x, 3));
    EXPECT_EQ(got, std::vector<float>(3, 12));  // 1 + 2, doubled twice
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    group.barrier();
  });
}

// The rule of device_group: NCCL where every rank has a device, else the host.
TEST(DeviceGroups, ShareADeviceByWayOfTheHost) {
  emulation::set_devices(4);
  auto hosts = make_local_communicators(2);
  std::vector<std::jthread> ranks;
  for (auto& host : hosts) {
    ranks.emplace_back([&host] {
      cuda::Backend backend(device(1));
      const auto group = device_group(backend, nullptr, std::move(host), {});
      OnDevice outside(backend, *group);
      for (const contract::NamedClaim& claim : contract::claims()) claim.check(outside);
    });
  }
}

}  // namespace
}  // namespace uhd
