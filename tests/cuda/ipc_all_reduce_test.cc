// Tests sums by IPC behind the NCCL communicator: ranks are threads, which reach each other by peer access,
// and processes, which open each other's memory.
#include "cluster/nccl/ipc_all_reduce.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cmath>
#include <latch>
#include <thread>

#include "cluster/nccl/all_reduce_choice.h"
#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "tests/cluster/communicator_contract.h"
#include "tests/cuda/nccl_ranks.h"
#include "tests/cuda/on_device.h"

extern char** environ;

namespace uhd {
namespace {

using testing::HasSubstr;

class IpcGroups : public testing::Test {
 protected:
  IpcGroups() { emulation::set_peer_access(true); }
  ~IpcGroups() override {
    emulation::set_peer_access(true);
    EXPECT_EQ(emulation::failure(), "");
  }
};

TEST_F(IpcGroups, KeepTheContract) {
  for (const int size : {2, 4}) {
    on_each_device(size, [&](int rank, cuda::Backend& backend, const TransportId& id) {
      const auto group = make_nccl_communicator(backend, id, rank, size, kPatient, {"on"});
      EXPECT_TRUE(group->recordable());
      OnDevice outside(backend, *group);
      contract::all_reduce_is_the_rank_order_sum<float>(outside);
      contract::all_reduce_is_the_rank_order_sum<bf16>(outside);
      contract::all_ranks_hold_equal_bits<bf16>(outside);
      contract::infinities_and_nans_reach_everyone(outside);
      contract::a_matrix_is_reduced_in_place(outside);
      contract::all_gather_keeps_rank_order<float>(outside);
      group->barrier();
    });
  }
}

TEST_F(IpcGroups, SumByNcclWhatIsTooLarge) {
  constexpr int64_t kCount = cuda::kMostSummedBytes / 4 + 1;
  on_each_device(2, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group = make_nccl_communicator(backend, id, rank, 2, kPatient, {"on"});
    OnDevice outside(backend, *group);
    std::vector<float> x(kCount, static_cast<float>(rank + 1));
    outside.all_reduce(Tensor::of(x.data(), {kCount}));
    EXPECT_EQ(x.front(), 3);
    EXPECT_EQ(x.back(), 3);
  });
}

TEST_F(IpcGroups, RecordSmallAndLargeSumsInOneGraph) {
  constexpr int64_t kLarge = cuda::kMostSummedBytes / 4 + 100, kSmall = 300;
  on_each_device(2, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group = make_nccl_communicator(backend, id, rank, 2, kPatient, {"on"});
    const DeviceBuffer memory = backend.allocate(kLarge * sizeof(float));
    const Tensor large = memory.as(DType::f32, {kLarge}), small = memory.as(DType::f32, {kSmall});
    const std::vector<float> ones(kLarge, 1);
    backend.upload(large, Tensor::of(ones.data(), {kLarge}));
    group->barrier();
    const auto recording = backend.record([&] {
      group->all_reduce(small);
      group->all_reduce(large);
      group->all_reduce(small);
    });
    for (int i = 0; i < 3; ++i) recording->run();
    std::vector<float> got(kLarge);
    backend.download(Tensor::of(got.data(), {kLarge}), large);
    EXPECT_EQ(got[0], 512);  // doubled nine times
    EXPECT_EQ(got[kSmall - 1], 512);
    EXPECT_EQ(got[kSmall], 8);
    group->barrier();
  });
}

TEST_F(IpcGroups, AreRefusedOrLeftToNcclWhereDevicesDoNotReachEachOther) {
  emulation::set_peer_access(false);
  on_each_device(2, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    EXPECT_THAT(thrown([&] { make_nccl_communicator(backend, id, rank, 2, kPatient, {"on"}); }),
                HasSubstr("ipc_all_reduce is on, but rank 0: device 0 does not reach device 1"));
  });
  on_each_device(2, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group = make_nccl_communicator(backend, id, rank, 2, kPatient, {"auto"});
    OnDevice outside(backend, *group);
    contract::all_reduce_is_the_rank_order_sum<float>(outside);
  });
}

TEST_F(IpcGroups, MayChooseByMeasuring) {
  on_each_device(2, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group = make_nccl_communicator(backend, id, rank, 2, kPatient, {"auto"});
    OnDevice outside(backend, *group);
    contract::all_reduce_is_the_rank_order_sum<float>(outside);
  });
}

TEST_F(IpcGroups, TellWhichRankDoesNotCome) {
  std::latch told(3);
  on_each_device(3, [&](int rank, cuda::Backend& backend, const TransportId& id) {
    const auto group =
        make_nccl_communicator(backend, id, rank, 3, kPatient, {"on", std::chrono::seconds(4)});
    const DeviceBuffer x = backend.allocate(64);
    group->barrier();
    if (rank != 2) {
      EXPECT_THAT(thrown([&] {
                    for (int i = 0; i < 4; ++i) group->all_reduce(x.as(DType::f32, {16}));
                    backend.synchronize();
                  }),
                  HasSubstr("rank 2 did not come within 4 s"));
    }
    told.arrive_and_wait();
  });
}

// The other process of the tests below: this program once more.
constexpr const char* kIdOfOther = "UHD_TEST_ID";
constexpr int kSums = 50;

void sum_many(cuda::Backend& backend, Communicator& group) {
  const DeviceBuffer memory = backend.allocate(3000 * sizeof(float));
  const Tensor x = memory.as(DType::f32, {3000});
  std::vector<float> values(3000);
  for (int i = 0; i < kSums; ++i) {
    std::fill(values.begin(), values.end(), static_cast<float>(i + group.rank()));
    backend.upload(x, Tensor::of(values.data(), {3000}));
    group.all_reduce(x);
    backend.download(Tensor::of(values.data(), {3000}), x);
    ASSERT_EQ(values, std::vector<float>(3000, static_cast<float>(2 * i + 1)));
  }
}

pid_t start_other(const TransportId& id, const char* test) {
  std::string hex;
  for (const uint8_t byte : id) {
    constexpr const char* kDigits = "0123456789abcdef";
    hex += {kDigits[byte / 16], kDigits[byte % 16]};
  }
  setenv(kIdOfOther, hex.c_str(), 1);
  const std::string filter = std::string("--gtest_filter=OtherProcess.DISABLED_") + test;
  const std::string program = "/proc/self/exe";
  const std::string all = "--gtest_also_run_disabled_tests";
  char* arguments[] = {const_cast<char*>(program.c_str()), const_cast<char*>(all.c_str()),
                       const_cast<char*>(filter.c_str()), nullptr};
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ), 0);
  unsetenv(kIdOfOther);
  return child;
}

TransportId id_of_other() {
  const std::string hex = getenv(kIdOfOther);
  TransportId id;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    id.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return id;
}

// Started by the tests below, not by themselves.
TEST(OtherProcess, DISABLED_Sums) {
  cuda::Backend backend(device(1));
  const auto group = make_nccl_communicator(backend, id_of_other(), 1, 2, kPatient, {"on"});
  sum_many(backend, *group);
}

TEST(OtherProcess, DISABLED_SumsAndIsKilled) {
  cuda::Backend backend(device(1));
  const auto group = make_nccl_communicator(backend, id_of_other(), 1, 2, kPatient, {"on"});
  sum_many(backend, *group);
  kill(getpid(), SIGKILL);
}

TEST_F(IpcGroups, SumBetweenProcesses) {
  emulation::set_devices(8);
  const TransportId id = new_id();
  const pid_t other = start_other(id, "Sums");
  {
    cuda::Backend backend(device(0));
    const auto group = make_nccl_communicator(backend, id, 0, 2, kPatient, {"on"});
    sum_many(backend, *group);
  }
  int status = 0;
  waitpid(other, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(IpcGroups, EndWithAnErrorWhenTheOtherProcessIsKilled) {
  emulation::set_devices(8);
  const TransportId id = new_id();
  const pid_t other = start_other(id, "SumsAndIsKilled");
  cuda::Backend backend(device(0));
  const auto group = make_nccl_communicator(backend, id, 0, 2, kPatient, {"on", std::chrono::seconds(4)});
  sum_many(backend, *group);
  waitpid(other, nullptr, 0);
  const DeviceBuffer x = backend.allocate(64);
  EXPECT_THAT(thrown([&] {
                for (int i = 0; i < 3; ++i) group->all_reduce(x.as(DType::f32, {16}));
                backend.synchronize();
              }),
              HasSubstr("rank 1 did not come"));
}

TEST(IpcChoice, TakesSizesUpToTheFirstAtWhichNcclIsFaster) {
  EXPECT_EQ(ipc_limit({}), 0u);
  const std::vector<SumTiming> timings{
      {8 << 10, 11, 5}, {32 << 10, 12, 6.5f}, {128 << 10, 13, 13}, {1 << 20, 30, 2}};
  EXPECT_EQ(ipc_limit(timings), size_t{32} << 10);
  EXPECT_EQ(ipc_limit(std::span(timings).first(1)), size_t{8} << 10);
  EXPECT_EQ(ipc_limit(std::vector<SumTiming>{{8, 5, 11}}), 0u);
  EXPECT_EQ(ipc_limit(std::vector<SumTiming>{{8, std::nanf(""), 11}}), 0u);
  EXPECT_EQ(words(std::span(timings).last(2)), "128.0 KiB 13.0/13.0, 1.0 MiB 30.0/2.0");
}

TEST(PeerCards, OfOneHostOnly) {
  std::vector<PeerCard> cards(3);
  EXPECT_EQ(peer_obstacle(cards), "");
  cards[1].machine = {'b'};
  EXPECT_EQ(peer_obstacle(cards), "its ranks are on several hosts");
  EXPECT_THAT(peer_obstacle(std::vector<PeerCard>(9)), HasSubstr("more than 8 ranks"));
}

}  // namespace
}  // namespace uhd
