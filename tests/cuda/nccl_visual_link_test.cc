// Tests links of two over the strict stand-in for NCCL, and links of host memory under device memory. One
// thread polls both ends: no call of a link may wait for the other end.
#include "cluster/nccl/link.h"

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

#include "cluster/encoders/tcp_visual_link.h"
#include "cluster/host/staged_visual_link.h"
#include "cluster/nccl/plugin.h"
#include "emulation/cuda.h"
#include "emulation/nccl_watch.h"
#include "emulation/streams.h"
#include "tests/cluster/communicator_contract.h"
#include "tests/cuda/nccl_ranks.h"

extern "C" const uhd::NcclPlugin uhd_nccl_plugin;

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
    got_mark_ = leader_->make_mark();
    sent_mark_ = encoder_->make_mark();
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
  // Receives behind the work that the backends have queued by now.
  void receive(uint64_t job) {
    got_mark_->set();
    receiver_->begin(job, got(), got_mark_.get());
  }
  void send(uint64_t job) {
    sent_mark_->set();
    sender_->begin(job, sent(), sent_mark_.get());
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
  std::unique_ptr<Mark> got_mark_, sent_mark_;
  std::unique_ptr<VisualLink> receiver_, sender_;
};

// Pieces are several tensors of one device with the work queued on each.
class Pieces {
 public:
  Pieces(cuda::Backend& backend, size_t count) : backend_(backend) {
    for (size_t i = 0; i < count; ++i) {
      memory_.push_back(backend.allocate(kRows * kWidth * sizeof(float)));
      marks_.push_back(backend.make_mark());
    }
  }
  Tensor at(size_t i) const { return memory_.at(i).as(DType::f32, {kRows, kWidth}); }
  const Mark* mark(size_t i) const { return marks_.at(i).get(); }
  void write(size_t i, const std::vector<float>& values) {
    backend_.upload(at(i), Tensor::of(values.data(), {kRows, kWidth}));
    marks_.at(i)->set();
  }
  std::vector<float> read(size_t i) {
    std::vector<float> values(kRows * kWidth);
    backend_.download(Tensor::of(values.data(), {kRows, kWidth}), at(i));
    return values;
  }

 private:
  cuda::Backend& backend_;
  std::vector<DeviceBuffer> memory_;
  std::vector<std::unique_ptr<Mark>> marks_;
};

// More than are under way at once, in batches of different sizes at the two ends.
TEST_F(NcclLinks, CarryManyTransfersAtOnceInTheirOrder) {
  constexpr size_t kPieces = 12;
  connect();
  Pieces from(*encoder_, kPieces), to(*leader_, kPieces);
  for (size_t i = 0; i < kPieces; ++i)
    from.write(i, contract::values<float>(static_cast<int>(i), kRows * kWidth));
  for (size_t i = 0; i < 7; ++i) receiver_->begin(i, to.at(i), to.mark(i));
  for (size_t i = 0; i < 3; ++i) sender_->begin(i, from.at(i), from.mark(i));
  const auto until = [&](uint64_t count) {
    const TimePoint begin = Clock::now();
    while ((receiver_->ended() < count || sender_->ended() < count) && Clock::now() - begin < kLimit) {
      ASSERT_NE(receiver_->poll(), LinkState::failed) << receiver_->failure();
      ASSERT_NE(sender_->poll(), LinkState::failed) << sender_->failure();
      std::this_thread::yield();
    }
  };
  until(3);
  EXPECT_EQ(receiver_->ended(), 3u);
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  EXPECT_EQ(sender_->poll(), LinkState::done);
  for (size_t i = 3; i < kPieces; ++i) sender_->begin(i, from.at(i), from.mark(i));
  for (size_t i = 7; i < kPieces; ++i) receiver_->begin(i, to.at(i), to.mark(i));
  until(kPieces);
  EXPECT_EQ(receiver_->poll(), LinkState::done);
  EXPECT_EQ(sender_->poll(), LinkState::done);
  for (size_t i = 0; i < kPieces; ++i)
    EXPECT_EQ(to.read(i), contract::values<float>(static_cast<int>(i), kRows * kWidth));
}

// The other work that the two backends have queued behind the rows' own events has not run, and does not.
TEST_F(NcclLinks, WaitForNothingButTheRowsOwnEvents) {
  connect();
  Pieces from(*encoder_, 3), to(*leader_, 3);
  for (size_t i = 0; i < 3; ++i) from.write(i, contract::values<float>(static_cast<int>(i), kRows * kWidth));
  leader_->synchronize();
  encoder_->synchronize();
  std::atomic<bool> busy = true;
  const auto step = [&] { return !busy; };
  emulation::enqueue_steps(leader_->stream(), "a long step", step, {});
  emulation::enqueue_steps(encoder_->stream(), "a later batch", step, {});
  for (size_t i = 0; i < 3; ++i) receiver_->begin(i, to.at(i), to.mark(i));
  for (size_t i = 0; i < 3; ++i) sender_->begin(i, from.at(i), from.mark(i));
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
  EXPECT_EQ(sender_->poll(), LinkState::done) << sender_->failure();
  EXPECT_TRUE(busy);
  busy = false;
  encoder_->synchronize();
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(to.read(i), contract::values<float>(static_cast<int>(i), kRows * kWidth));
}

// If several transfers are under way, those that have come are whole, the rest is left alone, and nobody
// hangs.
TEST_F(NcclLinks, EndInTheMiddleOfSeveral) {
  connect();
  Pieces from(*encoder_, 4), to(*leader_, 4);
  const std::vector<float> old(kRows * kWidth, 4.0f);
  for (size_t i = 0; i < 4; ++i) {
    from.write(i, contract::values<float>(static_cast<int>(i), kRows * kWidth));
    to.write(i, old);
    receiver_->begin(i, to.at(i), to.mark(i));
  }
  for (size_t i = 0; i < 2; ++i) sender_->begin(i, from.at(i), from.mark(i));
  const TimePoint begin = Clock::now();
  while (receiver_->ended() < 2 && Clock::now() - begin < kLimit) {
    ASSERT_EQ(receiver_->poll(), LinkState::busy) << receiver_->failure();
    sender_->poll();
    std::this_thread::yield();
  }
  receiver_->abort();
  while (receiver_->poll() == LinkState::busy && Clock::now() - begin < kLimit) std::this_thread::yield();
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  for (size_t i = 2; i < 4; ++i) sender_->begin(i, from.at(i), from.mark(i));
  for (int looks = 0; looks < 20; ++looks) sender_->poll();  // a peer that is gone may be silent
  sender_->abort();
  leave(LinkState::busy);
  EXPECT_EQ(sender_->poll(), LinkState::failed);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(to.read(i), i < 2 ? contract::values<float>(static_cast<int>(i), kRows * kWidth) : old) << i;
}

TEST_F(NcclLinks, HaveABoundOnWhatIsUnderWay) {
  connect();
  for (uint64_t i = 0; i < kMostTransfers; ++i) receiver_->begin(i, got(), nullptr);
  EXPECT_THROW(receiver_->begin(kMostTransfers, got(), nullptr), Error);
  receiver_->abort();
  leave(LinkState::busy);
}

TEST_F(NcclLinks, CarryOneTransferAfterTheOther) {
  connect();
  for (uint64_t job = 1; job <= 5; ++job) {
    const auto values = fill(static_cast<int>(job));
    receive(job);
    EXPECT_EQ(receiver_->poll(), LinkState::busy);
    send(job);
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
  receive(1);
  send(1);
  leave(LinkState::busy);
  EXPECT_EQ(read(), values);
  std::vector<float> before(kRows * kWidth);
  leader_->download(Tensor::of(before.data(), {kRows, kWidth}), copy.as(DType::f32, {kRows, kWidth}));
  EXPECT_EQ(before, old);
}

TEST_F(NcclLinks, NeverHoldUpTheBackendTheyReceiveFor) {
  connect();
  receive(1);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(receiver_->poll(), LinkState::busy);
  leader_->synchronize();  // the encoder is alive and sends nothing
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
}

TEST_F(NcclLinks, FailWhenTheOtherEndIsGone) {
  emulation::set_nccl_tells_of_the_lost(true);
  connect();
  receive(1);
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  sender_.reset();
  leave(LinkState::busy);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_THAT(receiver_->failure(), testing::HasSubstr("gone"));
  receive(2);
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

// Each id costs NCCL a thread and a socket until both ends have come: those of encoders that die between
// Hello and link are not made without end.
TEST_F(NcclLinks, AreNotBegunWithoutEnd) {
  const auto transport = uhd_nccl_plugin.open(*leader_);
  const int before = emulation::nccl_holdings().ids;
  int made = 0;
  const std::string refusal = thrown([&] {
    for (; made < 1000; ++made) transport->new_id();
  });
  EXPECT_THAT(refusal, testing::HasSubstr("never met"));
  EXPECT_EQ(emulation::nccl_holdings().ids, before + made);
  EXPECT_GT(made, 256);  // encoders that may join at once
}

TEST_F(NcclLinks, ThatHaveMetMakeRoomForOthers) {
  const auto leaders = uhd_nccl_plugin.open(*leader_), encoders = uhd_nccl_plugin.open(*encoder_);
  for (int i = 0; i < 3; ++i) {
    const int before = emulation::nccl_holdings().ids;
    const TransportId id = leaders->new_id();
    receiver_ = leaders->receiver(id);
    sender_ = encoders->sender(id);
    leave(LinkState::connecting);
    EXPECT_EQ(receiver_->poll(), LinkState::idle) << receiver_->failure();
    EXPECT_EQ(emulation::nccl_holdings().ids, before);
  }
  receiver_.reset();
  sender_.reset();
}

TEST_F(NcclLinks, FailWhenTheCountsDiffer) {
  connect();
  receive(1);
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
  receive(1);
  EXPECT_EQ(receiver_->poll(), LinkState::busy);
  receiver_.reset();
  fill(1);
  send(1);
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
  receive(1);
  send(1);
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

TEST_F(NcclLinks, AreNotForOtherTensorsAndNotBeforeTheyStand) {
  make();
  EXPECT_THROW(receiver_->begin(1, got()), Error);
  leave(LinkState::connecting);
  EXPECT_THROW(receiver_->begin(1, got().slice_columns(0, 3)), Error);
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
  receive(2);
  send(2);
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
  receive(1);
  ends(LinkState::busy);
  connect();
  receive(1);
  send(1);
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
  receive(1);
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
  receive(1);
  send(1);
  leave(LinkState::busy);
  receive(2);
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

// The link's thread makes the calls that a recording thread may not make, and that would end in the graph.
TEST_F(NcclLinks, MoveRowsWhileTheirOwnerRecords) {
  connect();
  const auto values = fill(4);
  const DeviceBuffer copy = leader_->allocate(got_.bytes());
  receive(1);
  send(1);
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
  sender_ = link_for(*encoder_, make_tcp_sender(wire.out), LinkEnd::sends, sent_.bytes());
  receiver_ = link_for(*leader_, make_tcp_receiver(wire.in), LinkEnd::receives, got_.bytes());
  EXPECT_TRUE(sender_->reaches_device());
  EXPECT_TRUE(receiver_->reaches_device());
  for (uint64_t job = 1; job <= 2; ++job) {
    const auto values = fill(static_cast<int>(job));
    receive(job);
    EXPECT_EQ(receiver_->poll(), LinkState::busy);
    send(job);
    leave(LinkState::busy);
    EXPECT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
    EXPECT_EQ(read(), values);
  }
  const auto before = read();
  receive(3);
  receiver_->abort();
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  fill(3);
  send(3);
  EXPECT_EQ(receiver_->poll(), LinkState::failed);
  EXPECT_NE(receiver_->failure(), "");
  EXPECT_EQ(read(), before);
}

// Rows pass through pinned memory one by one, beside a batch that the encoder has not done.
TEST_F(NcclLinks, OfHostMemoryCarryManyTransfersBesideABusyEncoder) {
  constexpr size_t kPieces = 5;
  const Wire wire;
  sender_ = link_for(*encoder_, make_tcp_sender(wire.out), LinkEnd::sends, sent_.bytes());
  receiver_ = link_for(*leader_, make_tcp_receiver(wire.in), LinkEnd::receives, got_.bytes());
  Pieces from(*encoder_, kPieces), to(*leader_, kPieces);
  for (size_t i = 0; i < kPieces; ++i)
    from.write(i, contract::values<float>(static_cast<int>(i), kRows * kWidth));
  encoder_->synchronize();
  std::atomic<bool> busy = true;
  emulation::enqueue_steps(encoder_->stream(), "a later batch", [&] { return !busy; }, {});
  const emulation::Counts before = emulation::counts();
  for (size_t i = 0; i < kPieces; ++i) receiver_->begin(i, to.at(i), to.mark(i));
  for (size_t i = 0; i < kPieces; ++i) sender_->begin(i, from.at(i), from.mark(i));
  leave(LinkState::busy);
  EXPECT_EQ(sender_->poll(), LinkState::done) << sender_->failure();
  EXPECT_EQ(receiver_->poll(), LinkState::done) << receiver_->failure();
  EXPECT_EQ(emulation::counts().stream_waits, before.stream_waits);
  EXPECT_EQ(emulation::counts().unpinned_reads, before.unpinned_reads);
  busy = false;
  encoder_->synchronize();
  for (size_t i = 0; i < kPieces; ++i)
    EXPECT_EQ(to.read(i), contract::values<float>(static_cast<int>(i), kRows * kWidth));
}

}  // namespace
}  // namespace uhd
