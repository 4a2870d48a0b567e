// Tests the loop of an encoder rank, with the leader's end of a real control channel.
#include "engine/slices/encoder_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "cluster/encoders/control_server.h"

namespace uhd {
namespace {

const std::string kSecret = "a secret of the tests";

// Counts events of another thread.
class Bell {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    ++rung_;
    changed_.notify_all();
  }
  // Returns false if it did not ring so often in two minutes.
  bool wait_for(int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(2), [&] { return rung_ >= times; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int rung_ = 0;
};

EncodeJob encode_job(uint64_t number, uint32_t width) {
  EncodeJob job;
  job.job = number;
  job.fingerprint = {number, number};
  job.width = width;
  job.height = 14;
  job.pixels.resize(size_t{3} * job.width * job.height);
  job.deadline_ms = 120'000;
  return job;
}

ControlServerOptions server_options(Bell& bell) {
  ControlServerOptions options;
  options.secret = kSecret;
  options.wake = [&bell] { bell.ring(); };
  return options;
}

ControlClientOptions client_options(const ControlServer& server, Bell& bell) {
  ControlClientOptions options;
  options.leader = message("127.0.0.1:", server.port());
  options.secret = kSecret;
  options.wake = [&bell] { bell.ring(); };
  return options;
}

// A Wire joins a leader's server and a worker's client, with a bell for the events of each.
struct Wire {
  Bell told, heard;
  ControlServer server{server_options(told)};
  ControlClient client{client_options(server, heard)};
};

TEST(EncoderWorker, ASliceThatCannotBeEncodedFailsAlone) {
  constexpr uint64_t kFirst = 1, kBroken = 3, kLast = 4;
  Wire wire;
  auto& [told, heard, server, client] = wire;

  std::vector<size_t> batches;
  const auto encode = [&](std::span<const Slice* const> slices, Tensor) -> Parts {
    batches.push_back(slices.size());
    // The first holds the worker up until the leader's welcome and every job are here: the others are a
    // batch.
    if (slices[0]->fingerprint.low == kFirst) {
      EXPECT_TRUE(heard.wait_for(1 + static_cast<int>(kLast)));
    }
    for (const Slice* slice : slices) {
      if (slice->fingerprint.low == kBroken) throw Error("this one cannot be encoded");
    }
    co_return;
  };
  const std::unique_ptr<Backend> backend = make_backend({.kind = "cpu", .threads = 1});
  RowBuffers buffers(*backend, {.buffers = 8, .most_rows = 4, .width = 2, .batch_rows = 32});
  EncoderWorker worker(client, encode, [](const Slice&) { return 2; }, buffers, {});
  std::jthread thread(
      [&](const std::stop_token& stop) { worker.run([&] { return stop.stop_requested(); }); });

  std::set<uint64_t> encoded, failed;
  int events = 0;
  while (encoded.size() + failed.size() < kLast && told.wait_for(events + 1)) {
    for (const ServerEvent& event : server.poll()) {
      ++events;
      if (std::holds_alternative<EncoderJoined>(event.what)) {
        server.send(event.encoder, encode_job(kFirst, 42));
        for (uint64_t number = kFirst + 1; number <= kLast; ++number)
          server.send(event.encoder, encode_job(number, 28));
      } else if (const auto* rows = std::get_if<Encoded>(&event.what)) {
        encoded.insert(rows->job);
        EXPECT_GT(rows->came, 0);
        EXPECT_LE(rows->came, rows->begun);
        EXPECT_LT(rows->begun, rows->ended);
        EXPECT_LE(rows->ended, rows->left);
      } else if (const auto* fault = std::get_if<EncodeFailed>(&event.what)) {
        EXPECT_EQ(fault->reason, "this one cannot be encoded");
        failed.insert(fault->job);
      }
    }
  }
  thread.request_stop();
  thread.join();
  EXPECT_THAT(failed, ::testing::ElementsAre(kBroken));
  EXPECT_THAT(encoded, ::testing::ElementsAre(kFirst, 2, kLast));
  EXPECT_THAT(batches, ::testing::ElementsAre(1, 3, 1, 1, 1));
}

// One slice is cancelled while it is encoded, and one while it waits.
TEST(EncoderWorker, ACancelledSliceIsNotEncodedAndItsRowsAreFree) {
  constexpr uint64_t kBusy = 1, kWaiting = 2, kWanted = 3;
  Wire wire;
  auto& [told, heard, server, client] = wire;
  Bell busy;
  std::vector<uint64_t> begun;
  const auto encode = [&](std::span<const Slice* const> slices, Tensor) -> Parts {
    for (const Slice* slice : slices) begun.push_back(slice->fingerprint.low);
    if (begun.back() == kBusy) {
      busy.ring();
      EXPECT_TRUE(heard.wait_for(6));  // the welcome, three jobs, two cancels
    }
    co_return;
  };
  const std::unique_ptr<Backend> backend = make_backend({.kind = "cpu", .threads = 1});
  RowBuffers buffers(*backend, {.buffers = 8, .most_rows = 4, .width = 2, .batch_rows = 32});
  EncoderWorker worker(client, encode, [](const Slice&) { return 2; }, buffers, {});
  std::jthread thread(
      [&](const std::stop_token& stop) { worker.run([&] { return stop.stop_requested(); }); });

  std::vector<uint64_t> encoded;
  int events = 0;
  while (encoded.size() < 2 && told.wait_for(events + 1)) {
    for (const ServerEvent& event : server.poll()) {
      ++events;
      if (std::holds_alternative<EncoderJoined>(event.what)) {
        for (const uint64_t job : {kBusy, kWaiting, kWanted}) server.send(event.encoder, encode_job(job, 28));
        EXPECT_TRUE(busy.wait_for(1));
        for (const uint64_t job : {kBusy, kWaiting}) server.send(event.encoder, Cancel{job});
      } else if (const auto* rows = std::get_if<Encoded>(&event.what)) {
        encoded.push_back(rows->job);
      }
    }
  }
  thread.request_stop();
  thread.join();
  EXPECT_THAT(begun, ::testing::ElementsAre(kBusy, kWanted));
  EXPECT_THAT(encoded, ::testing::ElementsAre(kBusy, kWanted));
  EXPECT_EQ(buffers.free(), 7u) << "only the rows that are wanted wait";
}

// The leader has posted its receive with Go, and nothing but the rows ends it.
TEST(EncoderWorker, RowsAreSentThoughACancelFollowsTheGo) {
  constexpr uint64_t kJob = 1, kOther = 2;
  Wire wire;
  auto& [told, heard, server, client] = wire;
  Bell busy;

  const auto encode = [&](std::span<const Slice* const> slices, Tensor rows) -> Parts {
    std::fill_n(rows.data<float>(), rows.elements(), 7.0f);
    if (slices[0]->fingerprint.low != kOther) co_return;
    // Holds the worker up until Go and Cancel are both here, so that it sees them together.
    busy.ring();
    EXPECT_TRUE(heard.wait_for(5));  // the welcome, two jobs, Go, Cancel
  };
  const std::unique_ptr<Backend> backend = make_backend({.kind = "cpu", .threads = 1});
  RowBuffers buffers(*backend, {.buffers = 8, .most_rows = 4, .width = 2, .batch_rows = 32});
  EncoderWorker worker(client, encode, [](const Slice&) { return 2; }, buffers, {});
  std::jthread thread(
      [&](const std::stop_token& stop) { worker.run([&] { return stop.stop_requested(); }); });

  std::unique_ptr<VisualLink> link;
  std::vector<float> rows(4);
  int events = 0;
  bool begun = false;
  while (!begun && told.wait_for(events + 1)) {
    for (ServerEvent& event : server.poll()) {
      ++events;
      if (auto* joined = std::get_if<EncoderJoined>(&event.what)) {
        link = std::move(joined->link);
        server.send(event.encoder, encode_job(kJob, 28));
      } else if (const auto* encoded = std::get_if<Encoded>(&event.what); encoded && encoded->job == kJob) {
        server.send(event.encoder, encode_job(kOther, 28));
        EXPECT_TRUE(busy.wait_for(1));
        link->begin(kJob, Tensor::of(rows.data(), {2, 2}));
        server.send(event.encoder, Go{kJob});
        server.send(event.encoder, Cancel{kJob});
        begun = true;
      }
    }
  }
  ASSERT_TRUE(begun);
  const auto limit = Clock::now() + std::chrono::seconds(20);
  while (link->poll() == LinkState::busy && Clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(link->poll(), LinkState::done) << link->failure();
  EXPECT_THAT(rows, ::testing::Each(7.0f));
  link.reset();
  thread.request_stop();
  thread.join();
}

// One Go after another, before any rows were looked at: all of them come, in that order.
TEST(EncoderWorker, AllRowsOfABatchAreOnTheirWayAtOnce) {
  constexpr uint64_t kJobs = 5;
  Wire wire;
  auto& [told, heard, server, client] = wire;
  const auto encode = [&](std::span<const Slice* const> slices, Tensor rows) -> Parts {
    for (size_t i = 0; i < slices.size(); ++i) {
      const Tensor own = rows.slice_rows(static_cast<int64_t>(i) * 2, 2);
      std::fill_n(own.data<float>(), own.elements(), static_cast<float>(slices[i]->fingerprint.low));
    }
    co_return;
  };
  const std::unique_ptr<Backend> backend = make_backend({.kind = "cpu", .threads = 1});
  // Memory for two slices: the others are encoded when the rows of those are gone.
  RowBuffers buffers(*backend, {.buffers = 2, .most_rows = 4, .width = 2, .batch_rows = 8});
  EncoderWorker worker(client, encode, [](const Slice&) { return 2; }, buffers, {});
  std::jthread thread(
      [&](const std::stop_token& stop) { worker.run([&] { return stop.stop_requested(); }); });

  std::unique_ptr<VisualLink> link;
  std::vector<std::vector<float>> rows;
  std::vector<uint64_t> order;
  EncoderId encoder = 0;
  uint64_t arrived = 0;
  size_t most_announced = 0;
  const auto limit = Clock::now() + std::chrono::minutes(2);
  while (arrived < kJobs && Clock::now() < limit) {
    for (ServerEvent& event : server.poll()) {
      encoder = event.encoder;
      if (auto* joined = std::get_if<EncoderJoined>(&event.what)) {
        link = std::move(joined->link);
        for (uint64_t number = 1; number <= kJobs; ++number) server.send(encoder, encode_job(number, 28));
      } else if (const auto* encoded = std::get_if<Encoded>(&event.what)) {
        order.push_back(encoded->job);
        rows.emplace_back(4);
      }
    }
    most_announced = std::max<size_t>(most_announced, order.size() - arrived);
    const bool batch_is_here = order.size() == kJobs || order.size() - arrived == 2;
    for (size_t i = arrived; batch_is_here && i < order.size(); ++i) {
      link->begin(order[i], Tensor::of(rows[i].data(), {2, 2}));
    }
    for (size_t i = arrived; batch_is_here && i < order.size(); ++i) server.send(encoder, Go{order[i]});
    while (batch_is_here && arrived < order.size() && Clock::now() < limit) {
      ASSERT_NE(link->poll(), LinkState::failed) << link->failure();
      for (; arrived < link->ended(); ++arrived) server.send(encoder, Done{order[arrived]});
    }
  }
  ASSERT_EQ(arrived, kJobs);
  EXPECT_EQ(most_announced, 2u);
  for (size_t i = 0; i < kJobs; ++i) EXPECT_THAT(rows[i], ::testing::Each(static_cast<float>(order[i])));
  link.reset();
  thread.request_stop();
  thread.join();
}

}  // namespace
}  // namespace uhd
