// Tests the leader's view of encoder ranks, over a real control channel and a link that the test moves by
// hand.
#include "engine/slices/remote_encoders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "cluster/encoders/control_client.h"

namespace uhd {
namespace {

const std::string kSecret = "a secret of the tests";
constexpr Duration kLimit = std::chrono::seconds(60);
constexpr int kRows = 2, kMaxRows = 4, kWidth = 2, kBuffers = 8;

// Lets a test see and control a link.
struct LinkHand {
  const Backend* backend = nullptr;
  LinkState state = LinkState::idle;
  std::vector<Tensor> rows;  // where they are to be written, in order
  uint64_t ended = 0;
  bool aborted = false;
  bool gone = false;
  size_t allocated_at_end = 0;
};

class HandLink final : public VisualLink {
 public:
  explicit HandLink(LinkHand& hand) : hand_(hand) {}
  ~HandLink() override {
    hand_.gone = true;
    hand_.allocated_at_end = hand_.backend->allocated();
  }
  void begin(uint64_t, Tensor rows, const Mark* after) override {
    EXPECT_TRUE(after != nullptr && after->reached());
    hand_.rows.push_back(rows);
    hand_.state = LinkState::busy;
  }
  LinkState poll() override { return hand_.state; }
  uint64_t ended() const override { return hand_.ended; }
  void abort() override { hand_.aborted = true; }
  std::string failure() const override { return "the test says so"; }

 private:
  LinkHand& hand_;
};

// An Encoder is one in a process of its own as the leader sees it: it says that it has encoded every slice it
// is asked for, or keeps them in its queue as long as it is busy.
class Encoder {
 public:
  explicit Encoder(int port) : client_(options(port)) {}
  void turn() {
    for (const ClientEvent& event : client_.poll()) {
      if (const auto* job = std::get_if<EncodeJob>(&event.what)) {
        queue_.push_back({job->job, job->fingerprint.low});
      } else if (const auto* cancel = std::get_if<Cancel>(&event.what)) {
        std::erase_if(queue_, [&](const auto& own) { return own.first == cancel->job; });
        cancelled_.push_back(cancel->job);
      }
    }
    if (busy) return;
    for (const auto& [job, slice] : queue_) say_encoded(job);
    queue_.clear();
  }
  bool busy = false;
  const std::vector<std::pair<uint64_t, uint64_t>>& queue() const { return queue_; }  // jobs, their slices
  const std::vector<uint64_t>& cancelled() const { return cancelled_; }               // jobs
  void say_encoded(uint64_t job) {
    last_job_ = job;
    client_.send(Encoded{.job = job, .rows = kRows, .width = kWidth, .dtype = DType::f32});
  }
  uint64_t last_job() const { return last_job_; }

 private:
  static ControlClientOptions options(int port) {
    ControlClientOptions options;
    options.leader = message("127.0.0.1:", port);
    options.secret = kSecret;
    options.hello.world_rank = 1;
    options.hello.capacity = 16;
    options.mpi_link = [] { return nullptr; };
    return options;
  }
  ControlClient client_;
  uint64_t last_job_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> queue_;
  std::vector<uint64_t> cancelled_;
};

class RemoteEncodersTest : public testing::Test {
 protected:
  RemoteEncodersTest() {
    hand_.backend = backend_.get();
    encoder_.emplace(server_.port());
    encoders_.emplace(server_, buffers_, EncoderPoolLimits{}, metrics_);
    add(0);
  }

  void add(uint64_t n) {
    auto slice = std::make_shared<Slice>();
    slice->width = slice->height = 14;
    slice->pixels.resize(size_t{3} * 14 * 14);
    slice->fingerprint = {n, n};
    encoders_->add({slice, kRows, 1}, Clock::now());
  }
  // Writes the rows of the next transfer that has not ended.
  void bring(float value) {
    const Tensor rows = hand_.rows.at(hand_.ended++);
    std::fill_n(rows.data<float>(), rows.elements(), value);
  }

  void turn_until(const std::function<bool()>& holds) {
    const TimePoint begin = Clock::now();
    while (!holds() && Clock::now() - begin < kLimit) {
      for (EncodedSlice& slice : encoders_->poll(Clock::now(), {})) ended_.push_back(std::move(slice));
      if (encoder_) encoder_->turn();
      std::this_thread::yield();
    }
    ASSERT_TRUE(holds());
  }
  ControlServerOptions server_options() {
    ControlServerOptions options;
    options.secret = kSecret;
    options.mpi_link = [this](int) { return std::make_unique<HandLink>(hand_); };
    return options;
  }

  const std::unique_ptr<Backend> backend_ =
      make_backend({.kind = "cpu", .threads = 1, .compute = WeightFormat::f32});
  LinkHand hand_;
  ControlServer server_{server_options()};
  RowBuffers buffers_{*backend_, {.buffers = kBuffers, .most_rows = kMaxRows, .width = kWidth}};
  std::vector<EncodedSlice> ended_;
  Metrics metrics_{"model"};
  std::optional<Encoder> encoder_;
  std::optional<RemoteEncoders> encoders_;
};

TEST_F(RemoteEncodersTest, RowsOfADepartedEncoderComeBackOnceItsLinkHasEnded) {
  turn_until([&] { return !hand_.rows.empty(); });
  encoder_.reset();
  turn_until([&] { return hand_.aborted; });
  EXPECT_EQ(encoders_->encoders(), 0);
  for (int polls = 0; polls < 3; ++polls) encoders_->poll(Clock::now(), {});
  EXPECT_FALSE(hand_.gone);
  EXPECT_EQ(buffers_.free(), size_t{kBuffers} - 1);
  // It is looked at soon, though nothing else is under way.
  const TimePoint now = Clock::now();
  const auto next = encoders_->next_poll(now);
  ASSERT_TRUE(next);
  EXPECT_LE(*next, now + std::chrono::milliseconds(10));

  hand_.state = LinkState::failed;
  encoders_->poll(Clock::now(), {});
  EXPECT_TRUE(hand_.gone);
  EXPECT_EQ(buffers_.free(), size_t{kBuffers});
}

TEST_F(RemoteEncodersTest, AllRowsThatAreAnnouncedAreOnTheirWayAtOnce) {
  for (uint64_t n = 1; n < 4; ++n) add(n);
  turn_until([&] { return hand_.rows.size() == 4; });
  for (int n = 0; n < 4; ++n) bring(static_cast<float>(n));
  turn_until([&] { return ended_.size() == 4; });
  for (const EncodedSlice& slice : ended_) {
    ASSERT_TRUE(slice.ok) << slice.reason;
    EXPECT_EQ(*slice.rows.rows.data<float>(), static_cast<float>(slice.fingerprint.low));
  }
}

// A link that never ends, of an encoder that is gone, leaves some memory for newcomers.
TEST_F(RemoteEncodersTest, NoEncoderTakesAllMemory) {
  for (uint64_t n = 1; n < 12; ++n) add(n);
  turn_until([&] { return hand_.rows.size() == kBuffers / 2; });
  for (int polls = 0; polls < 20; ++polls) turn_until([] { return true; });
  encoders_->poll(Clock::now(), {});
  EXPECT_EQ(hand_.rows.size(), size_t{kBuffers} / 2);
  encoder_.reset();
  turn_until([&] { return hand_.aborted; });
  encoder_.emplace(server_.port());
  turn_until([&] { return hand_.rows.size() == kBuffers / 2 + kBuffers / 4; });
}

TEST_F(RemoteEncodersTest, RowsThatAreNoNumbersAreTriedAgainAndCostOnlyTheirOwnSlice) {
  add(1);
  turn_until([&] { return hand_.rows.size() == 2; });
  bring(std::numeric_limits<float>::quiet_NaN());
  bring(1);
  turn_until([&] { return hand_.rows.size() == 3; });  // the first again
  turn_until([&] { return ended_.size() == 1; });
  EXPECT_EQ(ended_[0].fingerprint.low, 1u);
  bring(5);
  turn_until([&] { return ended_.size() == 2; });
  EXPECT_TRUE(ended_[1].ok);
  EXPECT_EQ(ended_[1].fingerprint.low, 0u);
  EXPECT_EQ(*ended_[1].rows.rows.data<float>(), 5);
}

TEST_F(RemoteEncodersTest, ACancelTakesSlicesOutOfTheEncodersQueue) {
  encoder_->busy = true;
  for (uint64_t n = 1; n < 4; ++n) add(n);
  turn_until([&] { return encoder_->queue().size() == 4; });
  const uint64_t late = encoder_->queue()[1].first;
  EXPECT_FALSE(encoders_->cancel({0, 0})) << "it is encoded now";
  EXPECT_TRUE(encoders_->cancel({1, 1}));
  EXPECT_TRUE(encoders_->cancel({3, 3}));
  turn_until([&] { return encoder_->queue().size() == 2; });
  EXPECT_EQ(encoder_->queue()[0].second, 0u);
  EXPECT_EQ(encoder_->queue()[1].second, 2u);
  // The encoder was faster than the cancel, and the slice is wanted again.
  add(1);
  encoder_->say_encoded(late);
  turn_until([&] { return std::ranges::count(encoder_->cancelled(), late) == 2; });
  EXPECT_TRUE(hand_.rows.empty());
  encoder_->busy = false;
  turn_until([&] { return hand_.rows.size() == 3; });
  for (const float slice : {0.0f, 2.0f, 1.0f}) bring(slice);
  turn_until([&] { return ended_.size() == 3; });
  for (const EncodedSlice& slice : ended_) {
    ASSERT_TRUE(slice.ok) << slice.reason;
    EXPECT_EQ(*slice.rows.rows.data<float>(), static_cast<float>(slice.fingerprint.low));
  }
  ended_.clear();
  EXPECT_EQ(buffers_.free(), size_t{kBuffers});
}

TEST_F(RemoteEncodersTest, ACancelFreesRowsThatWaitAtTheEncoderForMemory) {
  for (uint64_t n = 1; n < 6; ++n) add(n);
  turn_until([&] { return hand_.rows.size() == kBuffers / 2; });
  for (const uint64_t n : {4, 5}) {
    bool gone = false;
    turn_until([&] { return gone = gone || encoders_->cancel({n, n}); });  // once it is announced
  }
  turn_until([&] { return encoder_->cancelled().size() == 2; });
  EXPECT_FALSE(encoders_->cancel({3, 3})) << "its rows are on their way";
  for (int n = 0; n < kBuffers / 2; ++n) bring(static_cast<float>(n));
  turn_until([&] { return ended_.size() == kBuffers / 2; });
  ended_.clear();
  EXPECT_EQ(buffers_.free(), size_t{kBuffers});
  EXPECT_EQ(hand_.rows.size(), size_t{kBuffers} / 2);
}

TEST_F(RemoteEncodersTest, AnEncoderThatAnnouncesRowsTwiceIsSentAway) {
  turn_until([&] { return !hand_.rows.empty(); });
  encoder_->say_encoded(encoder_->last_job());
  turn_until([&] { return hand_.aborted; });
  EXPECT_EQ(hand_.rows.size(), 1u);
}

TEST_F(RemoteEncodersTest, RowsOutliveTheLinkThatMayWriteThem) {
  turn_until([&] { return !hand_.rows.empty(); });
  encoders_.reset();
  EXPECT_TRUE(hand_.gone);
  EXPECT_GE(hand_.allocated_at_end, sizeof(float) * kMaxRows * kWidth);
}

TEST_F(RemoteEncodersTest, RowsOfADepartedEncoderOutliveItsLink) {
  turn_until([&] { return !hand_.rows.empty(); });
  encoder_.reset();
  turn_until([&] { return hand_.aborted; });
  encoders_.reset();
  EXPECT_TRUE(hand_.gone);
  EXPECT_GE(hand_.allocated_at_end, sizeof(float) * kMaxRows * kWidth);
}

}  // namespace
}  // namespace uhd
