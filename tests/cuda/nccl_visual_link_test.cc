// Links of two over the strict stand-in for NCCL, and links of host memory under device memory. Both ends are
// polled by one thread: no call of a link may wait for the other end.
#include "cluster/nccl_visual_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "cluster/staged_visual_link.h"
#include "cluster/tcp_visual_link.h"
#include "tests/cluster/communicator_contract.h"
#include "tests/cuda/cuda_emulation.h"
#include "tests/cuda/nccl_ranks.h"
#include "tests/cuda/nccl_watch.h"
#include "tests/cuda/streams.h"

namespace uhd {
namespace {

constexpr Duration kLimit = std::chrono::seconds(60);
constexpr int64_t kRows = 5, kWidth = 7;

class NcclLinks : public testing::Test {
 protected:
  NcclLinks() {
    emulation::set_devices(4);
    leader_.emplace(device(0));
    encoder_.emplace(device(1));
    sent_ = encoder_->allocate(kRows * kWidth * sizeof(float));
    got_ = leader_->allocate(kRows * kWidth * sizeof(float));
    leader_warm_ = leader_->allocate(sizeof(float));
    encoder_warm_ = encoder_->allocate(sizeof(float));
  }
  ~NcclLinks() override {
    emulation::watch_nccl({});
    emulation::set_nccl_tells_of_the_lost(false);
    EXPECT_EQ(emulation::failure(), "");
  }

  void make(Duration limit = kLimit) {
    const TransportId id = new_id();
    receiver_ = make_nccl_link(*leader_, one(leader_warm_), id, LinkEnd::receives, limit);
    sender_ = make_nccl_link(*encoder_, one(encoder_warm_), id, LinkEnd::sends, limit);
  }
  // Polls both until neither is in this state.
  void leave(LinkState state) {
    const TimePoint begin = Clock::now();
    bool waits = true;
    while (waits && Clock::now() - begin < kLimit) {
      waits = false;
      for (const auto& link : {receiver_.get(), sender_.get()}) {
        if (link != nullptr && link->poll() == state) waits = true;
      }
      std::this_thread::yield();
    }
  }
  void connect() {
    make();
    leave(LinkState::connecting);
    ASSERT_EQ(receiver_->poll(), LinkState::idle) << receiver_->failure();
    ASSERT_EQ(sender_->poll(), LinkState::idle) << sender_->failure();
  }
  static Tensor one(const DeviceBuffer& memory) { return memory.as(DType::f32, {1, 1}); }
  Tensor sent() const { return sent_.as(DType::f32, {kRows, kWidth}); }
  Tensor got() const { return got_.as(DType::f32, {kRows, kWidth}); }
  std::vector<float> fill(int seed) {
    auto values = contract::values<float>(seed, kRows * kWidth);
    encoder_->upload(sent(), Tensor::of(values.data(), {kRows, kWidth}));
    return values;
  }
  std::vector<float> read() {
    std::vector<float> values(kRows * kWidth);
    leader_->download(Tensor::of(values.data(), {kRows, kWidth}), got());
    return values;
  }

  std::optional<cuda::Backend> leader_, encoder_;
  DeviceBuffer sent_, got_, leader_warm_, encoder_warm_;
  std::unique_ptr<VisualLink> receiver_, sender_;
};

TEST_F(NcclLinks, CarryOneTransferAfterTheOther) {
  connect();
  for (uint64_t job = 1; job <= 5; ++job) {
    const auto values = fill(static_cast<int>(job));
    receiver_->begin(job, got());
    EXPECT_EQ(receiver_->poll(), LinkState::busy);
    sender_->begin(job, sent());
    leave(LinkState::busy);
    ASSERT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
    ASSERT_EQ(sender_->poll(), LinkState::done) << sender_->failure();
    EXPECT_EQ(read(), values);
  }
}

// The rows' last operation is still queued when begin() is called, and the memory that receives is still
// read.
TEST_F(NcclLinks, WaitForWhatTheBackendsHaveQueued) {
  connect();
  const auto values = contract::values<float>(3, kRows * kWidth);
  const DeviceBuffer source = encoder_->allocate(sent_.bytes());
  const DeviceBuffer copy = leader_->allocate(got_.bytes());
  const std::vector<float> old(kRows * kWidth, 4.0f);
  encoder_->upload(source.as(DType::f32, {kRows, kWidth}), Tensor::of(values.data(), {kRows, kWidth}));
  encoder_->cast(sent(), source.as(DType::f32, {kRows, kWidth}));
  leader_->upload(got(), Tensor::of(old.data(), {kRows, kWidth}));
  leader_->cast(copy.as(DType::f32, {kRows, kWidth}), got());
  receiver_->begin(1, got());
  sender_->begin(1, sent());
  leave(LinkState::busy);
  EXPECT_EQ(read(), values);
  std::vector<float> before(kRows * kWidth);
  leader_->download(Tensor::of(before.data(), {kRows, kWidth}), copy.as(DType::f32, {kRows, kWidth}));
  EXPECT_EQ(before, old);
}

TEST_F(NcclLinks, NeverHoldUpTheBackendTheyReceiveFor) {
  connect();
  receiver_->begin(1, got());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(receiver_->poll(), LinkState::busy);
  leader_->synchronize();  // the encoder is alive and sends nothing
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
}

TEST_F(NcclLinks, FailWhenTheOtherEndIsGone) {
  emulation::set_nccl_tells_of_the_lost(true);
  connect();
  receiver_->begin(1, got());
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  sender_.reset();
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_THAT(receiver_->failure(), testing::HasSubstr("gone"));
  receiver_->begin(2, got());
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
}

// Over NVLink: the owner hears of it by the control channel.
TEST_F(NcclLinks, EndThoughNothingTellsThatTheOtherEndIsGone) {
  connect();
  receiver_->begin(1, got());
  sender_.reset();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(receiver_->poll(), LinkState::busy);
  receiver_->abort();
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
}

// NCCL may refuse when it has made a communicator already, as it does where two ends are on one device.
TEST_F(NcclLinks, LeaveNoCommunicatorBehind) {
  const int before = emulation::nccl_holdings().communicators;
  {
    cuda::Backend beside(device(0));
    const DeviceBuffer warm = beside.allocate(sizeof(float));
    const TransportId id = new_id();
    receiver_ = make_nccl_link(*leader_, one(leader_warm_), id, LinkEnd::receives, kLimit);
    sender_ = make_nccl_link(beside, one(warm), id, LinkEnd::sends, kLimit);
    leave(LinkState::connecting);
    EXPECT_THAT(receiver_->failure(), testing::HasSubstr("Duplicate GPU"));
    EXPECT_EQ(receiver_->poll(), LinkState::failed);
    EXPECT_EQ(sender_->poll(), LinkState::failed);
    sender_.reset();
  }
  receiver_.reset();
  EXPECT_EQ(emulation::nccl_holdings().communicators, before);
}

TEST_F(NcclLinks, FailWhenTheCountsDiffer) {
  connect();
  receiver_->begin(1, got());
  sender_->begin(1, sent().slice_rows(0, kRows - 1));
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_EQ(sender_->poll(), LinkState::failed);
}

TEST_F(NcclLinks, LeaveTheMemoryAloneOnceDestroyed) {
  emulation::set_nccl_tells_of_the_lost(true);
  connect();
  const std::vector<float> old(kRows * kWidth, 4.0f);
  leader_->upload(got(), Tensor::of(old.data(), {kRows, kWidth}));
  receiver_->begin(1, got());
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  receiver_.reset();
  fill(1);
  sender_->begin(1, sent());
  leave(LinkState::busy);
  EXPECT_EQ(sender_->poll(), LinkState::failed);
  EXPECT_EQ(read(), old);
}

TEST_F(NcclLinks, ComeBackAsNewOnes) {
  connect();
  sender_.reset();
  receiver_.reset();
  connect();
  const auto values = fill(9);
  receiver_->begin(1, got());
  sender_->begin(1, sent());
  leave(LinkState::busy);
  EXPECT_EQ(read(), values);
}

TEST_F(NcclLinks, FailWhenNobodyComes) {
  make(std::chrono::milliseconds(50));
  sender_.reset();
  leave(LinkState::connecting);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_THAT(receiver_->failure(), testing::HasSubstr("did not come"));
}

TEST_F(NcclLinks, AreNotMadeTwiceAndNotForOtherTensors) {
  connect();
  EXPECT_THROW(receiver_->begin(1, got().slice_columns(0, 3)), Error);
  receiver_->begin(1, got());
  EXPECT_THROW(receiver_->begin(2, got()), Error);
}

// Holds the first abort back until it is opened, or for so long that the test has failed.
class AbortGate {
 public:
  AbortGate() {
    emulation::watch_nccl([this](std::string_view call) {
      std::unique_lock lock(mutex_);
      const bool first = calls_.emplace(call).second;
      changed_.notify_all();
      if (first && call == "ncclCommAbort") hold(lock);
    });
  }
  ~AbortGate() {
    open();
    emulation::watch_nccl({});
  }
  AbortGate(const AbortGate&) = delete;
  AbortGate& operator=(const AbortGate&) = delete;

  bool wait_for_call(std::string_view call) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [&] { return calls_.contains(call); });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  void hold(std::unique_lock<std::mutex>& lock) {
    EXPECT_TRUE(changed_.wait_for(lock, kLimit / 2, [&] { return open_; })) << "nobody opened the gate";
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string, std::less<>> calls_;
  bool open_ = false;
};

TEST_F(NcclLinks, AreEndedWithoutHoldingUpTheirOwnerOrEachOther) {
  connect();
  const std::unique_ptr<VisualLink> deserted = std::move(sender_), ending = std::move(receiver_);
  const DeviceBuffer rows = leader_->allocate(got_.bytes());
  AbortGate gate;
  ending->begin(1, rows.as(DType::f32, {kRows, kWidth}));
  EXPECT_EQ(ending->poll(), LinkState::busy);
  ASSERT_TRUE(gate.wait_for_call("ncclRecv"));
  ending->abort();
  ASSERT_TRUE(gate.wait_for_call("ncclCommAbort"));
  EXPECT_EQ(ending->poll(), LinkState::busy);

  connect();  // another link between the same two
  const auto values = fill(2);
  receiver_->begin(2, got());
  sender_->begin(2, sent());
  leave(LinkState::busy);
  ASSERT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
  EXPECT_EQ(read(), values);

  EXPECT_EQ(ending->poll(), LinkState::busy);
  gate.open();
  const TimePoint begin = Clock::now();
  while (ending->poll() == LinkState::busy && Clock::now() - begin < kLimit) std::this_thread::yield();
  EXPECT_EQ(ending->poll(), LinkState::failed);
  EXPECT_THAT(ending->failure(), testing::HasSubstr("ended by its owner"));
}

TEST_F(NcclLinks, EndInWhateverStateTheyAre) {
  const auto ends = [&](LinkState before) {
    EXPECT_EQ(receiver_->poll(), before);
    receiver_->abort();
    leave(LinkState::busy);
    EXPECT_EQ(receiver_->poll(), LinkState::failed);
    EXPECT_NE(receiver_->failure(), "");
    sender_.reset();
  };
  make();
  sender_.reset();
  ends(LinkState::connecting);
  connect();
  ends(LinkState::idle);
  connect();
  receiver_->begin(1, got());
  ends(LinkState::busy);
  connect();
  receiver_->begin(1, got());
  sender_->begin(1, sent());
  leave(LinkState::busy);
  ends(LinkState::done);
  make();
  receiver_->abort();  // before it was polled
  ends(LinkState::failed);
}

// Rows that the backend is still using: the transfer has not begun, and its end waits for nobody.
TEST_F(NcclLinks, EndThoughTheBackendIsBusy) {
  connect();
  std::atomic<bool> busy = true, looked_at = false;
  const auto step = [&] {
    looked_at = true;
    return !busy;
  };
  emulation::enqueue_steps(leader_->stream(), "a long computation", step, {});
  receiver_->begin(1, got());
  const TimePoint begin = Clock::now();
  while (!looked_at && Clock::now() - begin < kLimit) std::this_thread::yield();
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  receiver_->abort();
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  busy = false;
  leader_->synchronize();
}

TEST_F(NcclLinks, CallNcclOnThreadsOfTheirOwn) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<std::string, std::less<>> calls;
  emulation::watch_nccl([&](std::string_view call) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    calls.emplace(call);
  });
  connect();
  receiver_->begin(1, got());
  sender_->begin(1, sent());
  leave(LinkState::busy);
  receiver_->begin(2, got());
  receiver_->abort();
  leave(LinkState::busy);
  receiver_.reset();
  sender_.reset();
  const std::lock_guard lock(mutex);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
  EXPECT_EQ(threads.size(), 2u);  // one for each end
  EXPECT_THAT(calls, testing::ElementsAre("ncclCommAbort", "ncclCommGetAsyncError", "ncclCommInitRankConfig",
                                          "ncclRecv", "ncclSend"));
}

// What a recording thread may not call, and what would end in the graph, is called by the link's.
TEST_F(NcclLinks, MoveRowsWhileTheirOwnerRecords) {
  connect();
  const auto values = fill(4);
  const DeviceBuffer copy = leader_->allocate(got_.bytes());
  receiver_->begin(1, got());
  sender_->begin(1, sent());
  const auto recording = leader_->record([&] {
    leave(LinkState::busy);
    leader_->cast(copy.as(DType::f32, {kRows, kWidth}), got());
  });
  ASSERT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
  EXPECT_EQ(read(), values);
  recording->run();
  std::vector<float> copied(kRows * kWidth);
  leader_->download(Tensor::of(copied.data(), {kRows, kWidth}), copy.as(DType::f32, {kRows, kWidth}));
  EXPECT_EQ(copied, values);
}

// The two ends of a TCP link, joined without a network.
struct Wire {
  std::shared_ptr<LinkPort> out = std::make_shared<LinkPort>();
  std::shared_ptr<LinkPort> in = std::make_shared<LinkPort>();
  Wire() {
    out->open([in = in](std::vector<std::byte> frame) {
      in->arrived({frame.begin() + kFrameHeaderBytes, frame.end()});
    });
  }
};

TEST_F(NcclLinks, OfHostMemoryAreStagedUnderADevice) {
  const Wire wire;
  sender_ = link_for(*encoder_, make_tcp_sender(wire.out), LinkEnd::sends);
  receiver_ = link_for(*leader_, make_tcp_receiver(wire.in), LinkEnd::receives);
  EXPECT_TRUE(sender_->reaches_device());
  for (uint64_t job = 1; job <= 2; ++job) {
    const auto values = fill(static_cast<int>(job));
    receiver_->begin(job, got());
    EXPECT_EQ(receiver_->poll(), LinkState::busy);
    sender_->begin(job, sent());
    leave(LinkState::busy);
    EXPECT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
    EXPECT_EQ(read(), values);
  }
  const auto before = read();
  receiver_->begin(3, got());
  receiver_->abort();
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  fill(3);
  sender_->begin(3, sent());
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_NE(receiver_->failure(), "");
  EXPECT_EQ(read(), before);
}

}  // namespace
}  // namespace uhd
