// Tests the control channel and its links over real sockets on loopback. control_channel_test.cc tests the
// steps of the protocol on a simulated network.
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "cluster/encoders/secret.h"
#include "cluster/launch/rendezvous.h"
#include "tests/cluster/control_fixture.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const std::string kTcpSecret = "a secret of the tests";
constexpr int kAttempts = 600;  // of up to 100 ms: the most a test waits for an event

struct Leader {
  explicit Leader(const std::string& secret, int port = 0) : server(options(secret, port)) {}
  static ControlServerOptions options(const std::string& secret, int port) {
    ControlServerOptions o;
    o.secret = secret;
    o.port = port;
    o.facts = hello_for("m").facts;
    return o;
  }
  std::string address() const { return message("127.0.0.1:", server.port()); }

  ControlServer server;
  Events<ServerEvent> events{[this] {
    auto found = server.poll();
    if (found.empty()) std::this_thread::sleep_for(1ms);
    return found;
  }};
  template <class What>
  std::optional<What> find() {
    return events.find<What>(kAttempts * 100);
  }
};

struct Encoder {
  Encoder(const std::string& leader, const std::string& secret) : client(options(leader, secret)) {}
  static ControlClientOptions options(const std::string& leader, const std::string& secret) {
    ControlClientOptions o;
    o.leader = leader;
    o.secret = secret;
    o.hello = hello_for("m");
    return o;
  }

  ControlClient client;
  Events<ClientEvent> events{[this] { return client.poll(100ms); }};
  template <class What>
  std::optional<What> find() {
    return events.find<What>(kAttempts);
  }
};

LinkState ended(VisualLink& link) {
  while (link.poll() == LinkState::busy) std::this_thread::yield();
  return link.poll();
}

TEST(ControlTcp, ASliceGoesOutAndItsRowsComeBack) {
  Leader leader("a shared secret!");
  Encoder encoder(leader.address(), "a shared secret!");
  auto joined = leader.find<EncoderJoined>();
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->hello.backend, "cpu");
  const EncoderId id = leader.events.last().encoder;
  auto met = encoder.find<LeaderJoined>();
  ASSERT_TRUE(met);
  EXPECT_EQ(met->encoder, id);

  for (uint64_t job = 1; job <= 20; ++job) {
    leader.server.send(id, job_of(job));
    const auto got = encoder.find<EncodeJob>();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->pixels, job_of(job).pixels);
    EXPECT_EQ(got->fingerprint, job_of(job).fingerprint);

    encoder.client.send(Encoded{job, 64, 1024, DType::f32, 0.5f});
    const auto encoded = leader.find<Encoded>();
    ASSERT_TRUE(encoded);
    std::vector<float> rows(64 * 1024);
    joined->link->begin(job, Tensor::of(rows.data(), {encoded->rows, encoded->width}));
    leader.server.send(id, Go{job});

    ASSERT_TRUE(encoder.find<Go>());
    std::vector<float> made(64 * 1024, static_cast<float>(job));
    met->link->begin(job, Tensor::of(made.data(), {64, 1024}));
    EXPECT_EQ(ended(*met->link), LinkState::done);
    EXPECT_EQ(ended(*joined->link), LinkState::done) << joined->link->failure();
    EXPECT_EQ(rows, made);
    leader.server.send(id, Done{job});
    EXPECT_EQ(encoder.find<Done>()->job, job);
  }
}

// The transfers have different sizes, and all are awaited before the first is sent.
TEST(ControlTcp, ManyRowsAreUnderWayAtOnce) {
  constexpr size_t kPieces = 20;
  Leader leader(kTcpSecret);
  Encoder encoder(leader.address(), kTcpSecret);
  auto joined = leader.find<EncoderJoined>();
  auto met = encoder.find<LeaderJoined>();
  ASSERT_TRUE(joined && met);
  std::vector<std::vector<float>> made, got;
  for (size_t i = 0; i < kPieces; ++i) {
    made.emplace_back(100 * (i % 7 + 1), static_cast<float>(i));
    got.emplace_back(made.back().size());
  }
  const auto shape = [&](size_t i) { return Shape{static_cast<int64_t>(got[i].size()) / 100, 100}; };
  for (size_t i = 0; i < kPieces; ++i) joined->link->begin(i, Tensor::of(got[i].data(), shape(i)));
  for (size_t i = 0; i < kPieces; ++i) met->link->begin(i, Tensor::of(made[i].data(), shape(i)));
  EXPECT_EQ(ended(*met->link), LinkState::done);
  EXPECT_EQ(ended(*joined->link), LinkState::done) << joined->link->failure();
  EXPECT_EQ(joined->link->ended(), kPieces);
  EXPECT_EQ(got, made);
}

// The link ends between two of them: the first stays, the others are never written.
TEST(ControlTcp, ALinkEndsInTheMiddleOfSeveral) {
  Leader leader(kTcpSecret);
  Encoder encoder(leader.address(), kTcpSecret);
  auto joined = leader.find<EncoderJoined>();
  auto met = encoder.find<LeaderJoined>();
  ASSERT_TRUE(joined && met);
  std::vector<float> made(6, 1.0f), first(6), second(6);
  joined->link->begin(1, Tensor::of(first.data(), {2, 3}));
  joined->link->begin(2, Tensor::of(second.data(), {2, 3}));
  met->link->begin(1, Tensor::of(made.data(), {2, 3}));
  while (joined->link->ended() == 0) ASSERT_EQ(joined->link->poll(), LinkState::busy);
  joined->link->abort();
  met->link->begin(2, Tensor::of(made.data(), {2, 3}));
  EXPECT_EQ(joined->link->poll(), LinkState::failed);
  EXPECT_EQ(joined->link->ended(), 1u);
  EXPECT_EQ(first, made);
  EXPECT_EQ(second, std::vector<float>(6));
}

// Rows that come in another order than agreed are nobody's.
TEST(ControlTcp, RowsOutOfOrderFailTheLink) {
  Leader leader(kTcpSecret);
  Encoder encoder(leader.address(), kTcpSecret);
  auto joined = leader.find<EncoderJoined>();
  auto met = encoder.find<LeaderJoined>();
  ASSERT_TRUE(joined && met);
  std::vector<float> made(6, 1.0f), got(6);
  joined->link->begin(1, Tensor::of(got.data(), {2, 3}));
  joined->link->begin(2, Tensor::of(got.data(), {2, 3}));
  met->link->begin(2, Tensor::of(made.data(), {2, 3}));
  EXPECT_EQ(ended(*joined->link), LinkState::failed);
  EXPECT_EQ(joined->link->ended(), 0u);
}

TEST(ControlTcp, AnEncoderFindsALeaderThatStartsAgain) {
  auto leader = std::make_unique<Leader>(kTcpSecret);
  const int port = leader->server.port();
  Encoder encoder(leader->address(), kTcpSecret);
  ASSERT_TRUE(leader->find<EncoderJoined>());
  ASSERT_TRUE(encoder.find<LeaderJoined>());
  leader.reset();
  ASSERT_TRUE(encoder.find<LeaderLost>());
  leader = std::make_unique<Leader>(kTcpSecret, port);
  EXPECT_TRUE(leader->find<EncoderJoined>());
  EXPECT_TRUE(encoder.find<LeaderJoined>());
}

TEST(ControlTcp, AnEncoderThatEndsLeavesAndFailsItsLink) {
  Leader leader(kTcpSecret);
  std::optional<EncoderJoined> joined;
  {
    Encoder encoder(leader.address(), kTcpSecret);
    joined = leader.find<EncoderJoined>();
    ASSERT_TRUE(joined);
    std::vector<float> rows(6);
    joined->link->begin(1, Tensor::of(rows.data(), {2, 3}));
    EXPECT_EQ(joined->link->poll(), LinkState::busy);
  }
  ASSERT_TRUE(leader.find<EncoderLeft>());
  EXPECT_EQ(ended(*joined->link), LinkState::failed);
}

TEST(ControlTcp, LinksOutliveTheirServerAndClient) {
  std::unique_ptr<VisualLink> receiver;
  std::unique_ptr<VisualLink> sender;
  {
    Leader leader(kTcpSecret);
    Encoder encoder(leader.address(), kTcpSecret);
    receiver = std::move(leader.find<EncoderJoined>()->link);
    sender = std::move(encoder.find<LeaderJoined>()->link);
  }
  std::vector<float> rows(6);
  sender->begin(1, Tensor::of(rows.data(), {2, 3}));
  EXPECT_EQ(sender->poll(), LinkState::failed);
  EXPECT_EQ(receiver->poll(), LinkState::failed);
  EXPECT_NE(receiver->failure(), "");
}

TEST(ControlTcp, AWrongSecretIsToldToTheEncoder) {
  Leader leader("a shared secret!");
  Encoder encoder(leader.address(), "another secret!!");
  const auto refused = encoder.find<LeaderRefused>();
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->reason, HasSubstr("secret"));
}

TEST(ControlTcp, APortInUseIsAnErrorThatNamesIt) {
  const Leader leader(kTcpSecret);
  try {
    const Leader second(kTcpSecret, leader.server.port());
    FAIL() << "two servers on one port";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(leader.address()));
  }
}

// Returns the settings of a leader or encoder whose peer is in another job.
ClusterOptions of_two_jobs() {
  ClusterOptions options;
  options.role = "llm";
  options.encoder_count = 1;
  return options;
}

TEST(ControlTcp, NoServerIsWithoutASecret) {
  EXPECT_THROW(ControlServer(ControlServerOptions{}), Error);
  ControlClientOptions client;
  client.leader = "127.0.0.1:7000";
  EXPECT_THROW(ControlClient(std::move(client)), Error);
}

TEST(ControlTcp, OtherHostsNeedTheSecretOfAFile) {
  World world;
  ClusterOptions options = of_two_jobs();
  options.control_host = "0.0.0.0";
  EXPECT_THAT([&] { open_control_server(world, world.agree_topology(options), options, {}, nullptr, {}); },
              testing::ThrowsMessage<Error>(HasSubstr("set cluster.secret_file")));
  options.role = "encoder";
  options.leader = "192.0.2.1:7000";
  EXPECT_THAT([&] { open_control_client(world, world.agree_topology(options), options, {}, nullptr, {}); },
              testing::ThrowsMessage<Error>(HasSubstr("set cluster.secret_file")));
}

TEST(ControlTcp, OneProcessNeedsNoSettings) {
  const ClusterOptions options;
  const ControlHub hub = open_control_server(options, hello_for("m").facts, nullptr, {});
  EXPECT_GE(hub.access.secret.size(), 16u);
  std::vector<std::unique_ptr<ControlClient>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(open_local_client(hub.access, options, hello_for("m"), nullptr, {}));
  }
  Events<ServerEvent> events([&] {
    std::this_thread::sleep_for(1ms);
    return hub.server->poll();
  });
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(events.find<EncoderJoined>(kAttempts * 100));
}

TEST(ControlTcp, OneProcessHonoursItsSettings) {
  const Leader other(kTcpSecret);
  ClusterOptions options;
  options.link = "mpi";
  EXPECT_THAT([&] { open_control_server(options, {}, nullptr, {}); },
              testing::ThrowsMessage<Error>(HasSubstr("cluster.link is mpi")));
  options.link = "auto";
  options.control_port = other.server.port();
  EXPECT_THAT([&] { open_control_server(options, {}, nullptr, {}); },
              testing::ThrowsMessage<Error>(HasSubstr(other.address())));
  options.control_port = 0;
  options.secret_file = "/no/such/secret";
  EXPECT_THROW(open_control_server(options, {}, nullptr, {}), Error);
  const TemporaryDirectory folder;
  options.secret_file = folder.write("secret", std::string(kTcpSecret) + "\n");
  options.control_host = "127.0.0.2";
  const ControlHub hub = open_control_server(options, {}, nullptr, {});
  EXPECT_EQ(hub.access.secret, kTcpSecret);
  EXPECT_THAT(hub.access.local_address, HasSubstr("127.0.0.2:"));
}

TEST(ControlTcp, AddressesAreReadAndWritten) {
  EXPECT_EQ(parse_address("host:7000").host, "host");
  EXPECT_EQ(parse_address("[::1]:7000").host, "::1");
  EXPECT_EQ(parse_address("[::1]:7000").port, 7000);
  EXPECT_EQ(format_address({"::1", 80}), "[::1]:80");
  EXPECT_EQ(format_address({"host", 80}), "host:80");
  for (const char* bad : {"", "host", "host:", ":80", "host:0", "host:65536", "host:8x", "host:-1"}) {
    EXPECT_THROW(parse_address(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace uhd
