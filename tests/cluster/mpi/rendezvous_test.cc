// Leader and encoder ranks of one job find each other, and rows take the link that was asked for.
#include "cluster/launch/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "tests/cluster/mpi/world.h"

namespace uhd {
namespace {

constexpr int64_t kRows = 144;
constexpr int64_t kWidth = 512;
constexpr Duration kLimit = std::chrono::seconds(120);

Hello hello() {
  Hello h;
  h.facts = {{"model.path", "model"}};
  h.backend = "cpu";
  return h;
}

LinkState ended(VisualLink& link) {
  const TimePoint begin = Clock::now();
  while (link.poll() == LinkState::busy && Clock::now() - begin < kLimit) std::this_thread::yield();
  return link.poll();
}

// The next event of this kind from a server or client.
template <class What, class Poll>
std::optional<What> wait_for(std::vector<std::decay_t<decltype(std::declval<Poll>()()[0])>>& pending,
                             const Poll& poll) {
  const TimePoint begin = Clock::now();
  while (Clock::now() - begin < kLimit) {
    for (auto it = pending.begin(); it != pending.end(); ++it) {
      if (What* what = std::get_if<What>(&it->what)) {
        What found = std::move(*what);
        pending.erase(it);
        return found;
      }
    }
    for (auto& event : poll()) pending.push_back(std::move(event));
  }
  ADD_FAILURE() << "no such event came";
  return std::nullopt;
}

// One job for every encoder, rows checked by value.
void lead(World& world, const Topology& topology, const ClusterOptions& options) {
  const ControlHub hub = open_control_server(world, topology, options, hello().facts, nullptr, {});
  std::vector<ServerEvent> pending;
  const auto poll = [&] { return hub.server->poll(); };
  std::map<EncoderId, EncoderJoined> encoders;  // they join in any order
  const TimePoint begin = Clock::now();
  while (encoders.size() < static_cast<size_t>(topology.encoder_ranks) && Clock::now() - begin < kLimit) {
    for (ServerEvent& event : poll()) {
      if (auto* joined = std::get_if<EncoderJoined>(&event.what)) {
        encoders[event.encoder] = std::move(*joined);
      } else {
        pending.push_back(std::move(event));
      }
    }
  }
  ASSERT_EQ(encoders.size(), static_cast<size_t>(topology.encoder_ranks));
  for (EncoderId id = 1; id <= encoders.size(); ++id) {
    EncodeJob job;
    job.job = 100 + id;
    job.width = job.height = 14;
    job.pixels.assign(14 * 14 * 3, 0);
    hub.server->send(id, job);
  }
  for (size_t i = 0; i < encoders.size(); ++i) {
    const auto encoded = wait_for<Encoded>(pending, poll);
    ASSERT_TRUE(encoded);
    const auto id = static_cast<EncoderId>(encoded->job - 100);
    VisualLink& link = *encoders.at(id).link;
    std::vector<float> rows(kRows * kWidth);
    link.begin(encoded->job, Tensor::of(rows.data(), {encoded->rows, encoded->width}));
    hub.server->send(id, Go{encoded->job});
    EXPECT_EQ(ended(link), LinkState::done) << link.failure();
    EXPECT_EQ(rows, std::vector<float>(kRows * kWidth, static_cast<float>(encoded->job)));
    hub.server->send(id, Done{encoded->job});
  }
  for (size_t i = 0; i < encoders.size(); ++i) EXPECT_TRUE(wait_for<EncoderLeft>(pending, poll));
}

void encode(World& world, const Topology& topology, const ClusterOptions& options) {
  const auto client = open_control_client(world, topology, options, hello(), nullptr, {});
  std::vector<ClientEvent> pending;
  const auto poll = [&] { return client->poll(std::chrono::milliseconds(1)); };
  const auto joined = wait_for<LeaderJoined>(pending, poll);
  ASSERT_TRUE(joined);
  const auto job = wait_for<EncodeJob>(pending, poll);
  ASSERT_TRUE(job);
  const std::vector<float> rows(kRows * kWidth, static_cast<float>(job->job));
  client->send(Encoded{job->job, kRows, kWidth, DType::f32, 0.1f});
  ASSERT_TRUE(wait_for<Go>(pending, poll));
  joined->link->begin(job->job, Tensor::of(rows.data(), {kRows, kWidth}));
  EXPECT_EQ(ended(*joined->link), LinkState::done) << joined->link->failure();
  EXPECT_TRUE(wait_for<Done>(pending, poll));
}

class Rendezvous : public testing::TestWithParam<const char*> {};

TEST_P(Rendezvous, EveryEncoderRankOfTheJobJoinsAndSendsRows) {
  World& world = test_world();
  ClusterOptions options;
  options.encoder_count = world.size() - 1;
  options.link = GetParam();
  const Topology topology = world.agree_topology(options);
  if (world.rank() == topology.leader) {
    lead(world, topology, options);
  } else {
    encode(world, topology, options);
  }
}

INSTANTIATE_TEST_SUITE_P(Links, Rendezvous, testing::Values("auto", "mpi", "tcp"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace uhd
