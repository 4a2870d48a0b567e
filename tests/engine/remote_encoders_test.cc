// The leader's view of encoder ranks, over a real control channel and a link that the test moves by hand.
#include "engine/remote_encoders.h"

#include <gtest/gtest.h>

#include <functional>

#include "cluster/control_client.h"

namespace uhd {
namespace {

const std::string kSecret = "a secret of the tests";
constexpr Duration kLimit = std::chrono::seconds(60);
constexpr int kRows = 2, kMaxRows = 4, kWidth = 2;

// What a test sees and says of a link.
struct LinkHand {
  const Backend* backend = nullptr;
  LinkState state = LinkState::idle;
  const void* rows = nullptr;  // where they are to be written
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
  void begin(uint64_t, Tensor rows) override {
    hand_.rows = rows.raw();
    hand_.state = LinkState::busy;
  }
  LinkState poll() override { return hand_.state; }
  void abort() override { hand_.aborted = true; }
  std::string failure() const override { return "the test says so"; }

 private:
  LinkHand& hand_;
};

// An encoder of its own process as the leader sees it: says that it has encoded whatever it is asked for.
class Encoder {
 public:
  explicit Encoder(int port) : client_(options(port)) {}
  void turn() {
    for (const ClientEvent& event : client_.poll()) {
      if (const auto* job = std::get_if<EncodeJob>(&event.what)) {
        client_.send(Encoded{.job = job->job, .rows = kRows, .width = kWidth, .dtype = DType::f32});
      }
    }
  }

 private:
  static ControlClientOptions options(int port) {
    ControlClientOptions options;
    options.leader = message("127.0.0.1:", port);
    options.secret = kSecret;
    options.hello.world_rank = 1;
    options.mpi_link = [] { return nullptr; };
    return options;
  }
  ControlClient client_;
};

class RemoteEncodersTest : public testing::Test {
 protected:
  RemoteEncodersTest() {
    hand_.backend = backend_.get();
    encoder_.emplace(server_.port());
    encoders_.emplace(server_, buffers_, EncoderPoolLimits{}, metrics_);
    auto slice = std::make_shared<Slice>();
    slice->width = slice->height = 14;
    slice->pixels.resize(size_t{3} * 14 * 14);
    encoders_->add({slice, kRows, 1}, Clock::now());
  }

  void turn_until(const std::function<bool()>& holds) {
    const TimePoint begin = Clock::now();
    while (!holds() && Clock::now() - begin < kLimit) {
      encoders_->poll(Clock::now(), false);
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
  RowBuffers buffers_{*backend_, kMaxRows, kWidth};
  Metrics metrics_{"model"};
  std::optional<Encoder> encoder_;
  std::optional<RemoteEncoders> encoders_;
};

TEST_F(RemoteEncodersTest, RowsOfADepartedEncoderComeBackOnceItsLinkHasEnded) {
  turn_until([&] { return hand_.rows != nullptr; });
  encoder_.reset();
  turn_until([&] { return hand_.aborted; });
  EXPECT_EQ(encoders_->encoders(), 0);
  for (int polls = 0; polls < 3; ++polls) encoders_->poll(Clock::now(), false);
  EXPECT_FALSE(hand_.gone);
  StagedRows others = buffers_.take(kRows);
  EXPECT_NE(others.rows.raw(), hand_.rows);
  buffers_.give_back(std::move(others));
  // It is looked at soon, though nothing else is under way.
  const TimePoint now = Clock::now();
  const auto next = encoders_->next_poll(now);
  ASSERT_TRUE(next);
  EXPECT_LE(*next, now + std::chrono::milliseconds(10));

  hand_.state = LinkState::failed;
  encoders_->poll(Clock::now(), false);
  EXPECT_TRUE(hand_.gone);
  EXPECT_EQ(buffers_.take(kRows).rows.raw(), hand_.rows);
}

TEST_F(RemoteEncodersTest, RowsOutliveTheLinkThatMayWriteThem) {
  turn_until([&] { return hand_.rows != nullptr; });
  encoders_.reset();
  EXPECT_TRUE(hand_.gone);
  EXPECT_GE(hand_.allocated_at_end, sizeof(float) * kMaxRows * kWidth);
}

TEST_F(RemoteEncodersTest, RowsOfADepartedEncoderOutliveItsLink) {
  turn_until([&] { return hand_.rows != nullptr; });
  encoder_.reset();
  turn_until([&] { return hand_.aborted; });
  encoders_.reset();
  EXPECT_TRUE(hand_.gone);
  EXPECT_GE(hand_.allocated_at_end, sizeof(float) * kMaxRows * kWidth);
}

}  // namespace
}  // namespace uhd
