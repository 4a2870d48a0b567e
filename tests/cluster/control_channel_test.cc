// Runs leader and encoders on a simulated network: their messages, and every way in which these go wrong.
#include <set>

#include "base/error.h"
#include "cluster/encoders/handshake.h"
#include "cluster/encoders/liveness.h"
#include "cluster/encoders/secret.h"
#include "cluster/encoders/tcp_visual_link.h"
#include "tests/cluster/control_fixture.h"
#include "tests/cluster/simulated_network.h"

namespace uhd {
namespace {

using testing::HasSubstr;

const std::string kSecret = "a shared secret!";
constexpr int kPort = 7000;

class ControlChannel : public testing::Test {
 protected:
  struct Leader {
    Leader(Simulation& world, ControlServerOptions options)
        : server(std::move(options), world.network("leader")), events([this, &world] {
            world.settle();
            return server.poll();
          }) {}
    ControlServer server;
    Events<ServerEvent> events;
  };
  struct Encoder {
    Encoder(Simulation& world, ControlClientOptions options, const std::string& host)
        : client(std::move(options), world.network(host)), events([this, &world] {
            world.settle();
            return client.poll();
          }) {}
    ControlClient client;
    Events<ClientEvent> events;
  };

  ~ControlChannel() override {
    leader.reset();
    encoders.clear();
    network.reset();
    world->end();
  }

  static ControlServerOptions server_options() {
    ControlServerOptions o;
    o.port = kPort;
    o.secret = kSecret;
    o.facts = hello_for("model").facts;
    return o;
  }
  static ControlClientOptions client_options() {
    ControlClientOptions o;
    o.leader = message("leader:", kPort);
    o.secret = kSecret;
    o.hello = hello_for("model");
    return o;
  }
  Leader& start_leader(ControlServerOptions options = server_options()) {
    return *(leader = std::make_unique<Leader>(*world, std::move(options)));
  }
  Encoder& start_encoder(ControlClientOptions options = client_options(),
                         const std::string& host = "encoder") {
    return *encoders.emplace_back(std::make_unique<Encoder>(*world, std::move(options), host));
  }
  // A pair that has met.
  void meet() {
    start_leader();
    start_encoder();
    auto came = leader->events.find<EncoderJoined>();
    auto met = encoders[0]->events.find<LeaderJoined>();
    ASSERT_TRUE(came && met);
    id = leader->events.last().encoder;
    receiver = std::move(came->link);
    sender = std::move(met->link);
  }
  std::string refusal(ControlClientOptions options) {
    const auto refused = start_encoder(std::move(options)).events.next<LeaderRefused>();
    return refused ? refused->reason : "";
  }

  // A peer that says what the test wants.
  struct Stranger {
    ConnectionPtr connection;
    std::vector<std::pair<FrameType, std::vector<std::byte>>> frames;
    std::string closed;
  };
  std::shared_ptr<Stranger> stranger() {
    auto s = std::make_shared<Stranger>();
    network = world->network("stranger");
    network->connect(message("leader:", kPort), from_seconds(1), [s](ConnectionPtr c, const std::string&) {
      s->connection = c;
      c->start({[](FrameType) { return 1 << 20; },
                [s](FrameType t, std::vector<std::byte> p) { s->frames.emplace_back(t, std::move(p)); },
                [s](const std::string& reason) { s->closed = reason; }});
    });
    world->settle();
    return s;
  }
  // The Hello that a stranger with the secret would say.
  static Hello proven_hello(const Stranger& s) {
    const auto challenge = std::get<Challenge>(decode_message(s.frames.at(0).first, s.frames.at(0).second));
    Hello hello = hello_for("model");
    hello.nonce = random_bytes(32);
    hello.mac = hello_mac(kSecret, challenge.nonce, hello);
    return hello;
  }

  std::shared_ptr<Simulation> world = std::make_shared<Simulation>();
  std::unique_ptr<Leader> leader;
  std::vector<std::unique_ptr<Encoder>> encoders;
  std::unique_ptr<Network> network;
  EncoderId id = 0;
  std::unique_ptr<VisualLink> receiver;
  std::unique_ptr<VisualLink> sender;
};

TEST_F(ControlChannel, OneImageGoesThroughEveryStep) {
  meet();
  auto& encoder = *encoders[0];
  leader->server.send(id, job_of(5));
  const auto job = encoder.events.next<EncodeJob>();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->pixels, job_of(5).pixels);
  encoder.client.send(Encoded{5, 2, 3, DType::f32, 0.25f});
  const auto encoded = leader->events.find<Encoded>();
  ASSERT_TRUE(encoded);
  EXPECT_EQ(encoded->seconds, 0.25f);

  std::vector<float> to(6);
  std::vector<float> from{1, 2, 3, 4, 5, 6};
  receiver->begin(5, Tensor::of(to.data(), {2, 3}));
  EXPECT_EQ(receiver->poll(), LinkState::busy);
  leader->server.send(id, Go{5});
  EXPECT_EQ(encoder.events.next<Go>()->job, 5u);
  sender->begin(5, Tensor::of(from.data(), {2, 3}));
  world->settle();
  EXPECT_EQ(receiver->poll(), LinkState::done);
  EXPECT_EQ(to, from);
  leader->server.send(id, Done{5});
  EXPECT_EQ(encoder.events.next<Done>()->job, 5u);
  leader->server.send(id, Cancel{6});
  EXPECT_EQ(encoder.events.next<Cancel>()->job, 6u);
  encoder.client.send(EncodeFailed{7, "no memory"});
  EXPECT_EQ(leader->events.find<EncodeFailed>()->reason, "no memory");
}

TEST_F(ControlChannel, EachEncoderHasItsOwnLinkAndNumber) {
  start_leader();
  start_encoder();
  start_encoder(client_options(), "encoder2");
  const auto first = leader->events.find<EncoderJoined>();
  const EncoderId first_id = leader->events.last().encoder;
  const auto second = leader->events.find<EncoderJoined>();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first_id, leader->events.last().encoder);
  EXPECT_NE(first->link, nullptr);
  EXPECT_NE(second->link, nullptr);
}

TEST_F(ControlChannel, WrongSecretsModelsAndCrowdsAreRefusedWithTheReason) {
  auto options = server_options();
  options.max_encoders = 1;
  start_leader(std::move(options));
  auto wrong = client_options();
  wrong.secret = "some other secret";
  EXPECT_THAT(refusal(wrong), HasSubstr("is not the leader's"));
  auto other = client_options();
  other.hello = hello_for("another");
  EXPECT_EQ(refusal(other), "model.path is model on the leader and another on this encoder");
  EXPECT_TRUE(leader->events.none());
  start_encoder();
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  EXPECT_THAT(refusal(client_options()), HasSubstr("1 encoders already"));
}

TEST_F(ControlChannel, ARefusedEncoderDoesNotTryAgain) {
  start_leader();
  auto other = client_options();
  other.hello = hello_for("another");
  refusal(other);
  const int made = world->connections_made;
  world->advance(from_seconds(60));
  EXPECT_EQ(world->connections_made, made);
}

TEST_F(ControlChannel, ALeaderThatCannotProveTheSecretIsRefusedByTheEncoder) {
  auto options = server_options();
  options.secret = "what an impostor made up";
  start_leader(std::move(options));
  // The leader refuses first; an impostor would welcome everybody.
  EXPECT_THAT(refusal(client_options()), HasSubstr("is not the leader's"));
  const Nonce nonce(32, 1);
  Welcome welcome;
  welcome.ticket = nonce;
  welcome.mac = welcome_mac("what an impostor made up", nonce, welcome);
  EXPECT_FALSE(proves_secret(welcome, nonce, kSecret));
}

TEST_F(ControlChannel, AnotherProtocolIsRefusedInWords) {
  start_leader();
  const auto s = stranger();
  Hello hello = proven_hello(*s);
  hello.protocol = 99;
  s->connection->send(encode_message(hello));
  world->settle();
  ASSERT_EQ(s->frames.size(), 2u);
  EXPECT_THAT(std::get<Refused>(decode_message(s->frames[1].first, s->frames[1].second)).reason,
              HasSubstr(message("protocols ", kControlProtocol, " and 99")));
  EXPECT_NE(s->closed, "");
}

// A stranger that does not prove the secret gets one and the same answer, whatever it says, and learns
// nothing of the leader.
TEST_F(ControlChannel, ARefusalBeforeTheSecretIsProvedTellsNothing) {
  start_leader();
  std::set<std::string> answers;
  const auto say = [&](const Hello& hello) {
    const auto s = stranger();
    s->connection->send(encode_message(hello));
    world->settle();
    ASSERT_EQ(s->frames.size(), 2u);
    answers.insert(std::get<Refused>(decode_message(s->frames[1].first, s->frames[1].second)).reason);
    EXPECT_NE(s->closed, "");
  };
  const Hello heard = proven_hello(*stranger());
  say(heard);  // of another connection's challenge
  Hello hello = heard;
  hello.mac.clear();
  say(hello);
  hello.mac = random_bytes(32);
  say(hello);
  hello.facts = hello_for("another").facts;
  say(hello);
  hello.facts.clear();
  hello.mac = hello_mac("some other secret", Nonce(32, 0), hello);
  say(hello);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_THAT(*answers.begin(), testing::Not(HasSubstr("model.path")));
  EXPECT_TRUE(leader->events.none());
}

TEST_F(ControlChannel, AHelloForAnotherChallengeIsRefused) {
  start_leader();
  const Hello heard = proven_hello(*stranger());
  const auto s = stranger();
  s->connection->send(encode_message(heard));
  world->settle();
  ASSERT_EQ(s->frames.size(), 2u);
  EXPECT_EQ(s->frames[1].first, FrameType::refused);
  EXPECT_TRUE(leader->events.none());
}

TEST_F(ControlChannel, AStrangerMayNotSpeakOutOfTurnOrAtLength) {
  start_leader();
  const std::vector<std::vector<std::byte>> rude{
      encode_message(Encoded{1, 2, 3, DType::f32, 0}),
      encode_message(job_of(1)),
      write_frame(FrameType::hello, std::vector<std::byte>(max_payload(FrameType::hello) + 1)),
      write_frame(FrameType::hello, std::vector<std::byte>(40)),
      write_frame(FrameType{99}, {}),
      std::vector<std::byte>(64)};
  for (const auto& frame : rude) {
    const auto s = stranger();
    s->connection->send(frame);
    world->settle();
    EXPECT_NE(s->closed, "");
  }
  EXPECT_TRUE(leader->events.none());
}

TEST_F(ControlChannel, StrangersThatSayNothingGiveWayAndAreClosedInTime) {
  start_leader();
  std::vector<std::unique_ptr<Network>> networks;
  std::vector<std::shared_ptr<Stranger>> all;
  for (int i = 0; i < 70; ++i) {
    all.push_back(stranger());
    networks.push_back(std::move(network));
  }
  EXPECT_NE(all.front()->closed, "");
  EXPECT_EQ(all.back()->closed, "");
  start_encoder();
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  world->advance(from_seconds(6));
  for (const auto& s : all) EXPECT_NE(s->closed, "");
}

TEST_F(ControlChannel, ALinkNeedsTheTicketOfItsEncoder) {
  start_leader();
  const auto s = stranger();
  s->connection->send(encode_message(proven_hello(*s)));
  world->settle();
  const auto welcome = std::get<Welcome>(decode_message(s->frames.at(1).first, s->frames.at(1).second));
  const auto control = std::move(network);

  const auto thief = stranger();
  thief->connection->send(encode_message(LinkHello{welcome.encoder, random_bytes(32)}));
  world->settle();
  EXPECT_NE(thief->closed, "");
  const auto thieves = std::move(network);
  EXPECT_TRUE(leader->events.none());

  const auto link = stranger();
  link->connection->send(encode_message(LinkHello{welcome.encoder, welcome.ticket}));
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  const auto links = std::move(network);
  const auto again = stranger();
  again->connection->send(encode_message(LinkHello{welcome.encoder, welcome.ticket}));
  world->settle();
  EXPECT_NE(again->closed, "");
}

TEST_F(ControlChannel, AnEncoderWithoutALinkIsClosedInTime) {
  start_leader();
  const auto s = stranger();
  s->connection->send(encode_message(proven_hello(*s)));
  world->advance(from_seconds(6));
  EXPECT_NE(s->closed, "");
  EXPECT_TRUE(leader->events.none());
}

TEST_F(ControlChannel, RowsThatWereNotAgreedEndTheEncoder) {
  meet();
  std::vector<float> rows(6);
  sender->begin(1, Tensor::of(rows.data(), {2, 3}));  // nobody said Go
  EXPECT_THAT(leader->events.find<EncoderLeft>()->reason, HasSubstr("out of turn"));
  EXPECT_EQ(receiver->poll(), LinkState::failed);
  EXPECT_TRUE(encoders[0]->events.find<LeaderLost>());
}

TEST_F(ControlChannel, RowsOfAnotherShapeFailTheTransfer) {
  meet();
  std::vector<float> to(6);
  receiver->begin(1, Tensor::of(to.data(), {3, 2}));
  std::vector<float> from(6, 1.f);
  sender->begin(1, Tensor::of(from.data(), {2, 3}));
  world->settle();
  EXPECT_EQ(receiver->poll(), LinkState::failed);
  EXPECT_THAT(receiver->failure(), HasSubstr("2 rows of 3 f32 instead of job 1: 3 rows of 2"));
  EXPECT_EQ(to, std::vector<float>(6));
}

TEST_F(ControlChannel, MoreRowsThanAgreedAreCutOffByTheirLength) {
  meet();
  std::vector<float> to(6);
  receiver->begin(1, Tensor::of(to.data(), {2, 3}));
  std::vector<float> from(600);
  sender->begin(1, Tensor::of(from.data(), {200, 3}));
  EXPECT_THAT(leader->events.find<EncoderLeft>()->reason, HasSubstr("over the limit"));
  EXPECT_EQ(receiver->poll(), LinkState::failed);
}

TEST_F(ControlChannel, ADyingEncoderFailsItsTransferAndANewOneJoinsAtOnce) {
  meet();
  std::vector<float> to(6);
  receiver->begin(1, Tensor::of(to.data(), {2, 3}));
  encoders.clear();
  EXPECT_TRUE(leader->events.find<EncoderLeft>());
  EXPECT_EQ(leader->events.last().encoder, id);
  EXPECT_EQ(receiver->poll(), LinkState::failed);
  leader->server.send(id, Go{1});  // to nobody
  start_encoder(client_options(), "another");
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  EXPECT_NE(leader->events.last().encoder, id);
}

TEST_F(ControlChannel, AClosedEncoderLeavesOnceWithTheReasonAndComesBack) {
  meet();
  leader->server.close(id, "two jobs overdue");
  leader->server.close(id, "again");
  EXPECT_EQ(leader->events.find<EncoderLeft>()->reason, "two jobs overdue");
  EXPECT_TRUE(leader->events.none());
  EXPECT_TRUE(encoders[0]->events.find<LeaderLost>());
  world->advance(from_seconds(0.2));
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  EXPECT_TRUE(encoders[0]->events.next<LeaderJoined>());
}

TEST_F(ControlChannel, AnEncoderKeepsTryingWithGrowingPauses) {
  start_encoder();
  std::vector<int> tries;
  for (int second = 0; second < 30; ++second) {
    const int before = world->connections_made;
    world->advance(from_seconds(1));
    tries.push_back(world->connections_made - before);
  }
  EXPECT_EQ(tries[0], 4);  // at 0, 0.1, 0.3, 0.7 s
  int late = 0;
  for (int second = 10; second < 30; ++second) late += tries[static_cast<size_t>(second)];
  EXPECT_EQ(late, 4);  // every 5 s
  start_leader();
  world->advance(from_seconds(5));
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
}

TEST_F(ControlChannel, ALostLeaderIsFoundAgainAtOnce) {
  meet();
  leader.reset();
  EXPECT_TRUE(encoders[0]->events.find<LeaderLost>());
  EXPECT_EQ(sender->poll(), LinkState::failed);
  start_leader();
  world->advance(from_seconds(0.2));
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  EXPECT_TRUE(encoders[0]->events.next<LeaderJoined>());
}

TEST_F(ControlChannel, HeartbeatsTellWhatIsOutstanding) {
  meet();
  encoders[0]->client.set_outstanding(3);
  world->advance(from_seconds(1.1));
  std::optional<Heartbeat> beat;
  for (int i = 0; i < 2; ++i) beat = leader->events.next<Heartbeat>();
  ASSERT_TRUE(beat);
  EXPECT_EQ(beat->outstanding, 3u);
  EXPECT_EQ(leader->events.last().at, TimePoint{} + from_seconds(1));
}

TEST_F(ControlChannel, BothSidesStayTogetherWhileBothLive) {
  meet();
  world->advance(from_seconds(600));
  EncoderLiveness liveness({});
  liveness.joined(id, TimePoint{});
  for (const auto& event : leader->server.poll()) {
    ASSERT_TRUE(std::holds_alternative<Heartbeat>(event.what));
    EXPECT_TRUE(liveness.tick(event.at).empty());
    liveness.heard(event.encoder, event.at);
  }
  EXPECT_TRUE(liveness.tick(world->now()).empty());
}

// A pulled cable: no end is told.
TEST_F(ControlChannel, AHostThatFallsSilentIsLostByHeartbeatsOnBothSides) {
  meet();
  world->freeze("encoder");
  world->advance(from_seconds(6));
  EXPECT_TRUE(encoders[0]->events.find<LeaderLost>());
  EncoderLiveness liveness({});
  liveness.joined(id, TimePoint{});
  for (const auto& event : leader->server.poll()) liveness.heard(event.encoder, event.at);
  EXPECT_EQ(liveness.tick(world->now()).lost, std::vector<EncoderId>{id});
  leader->server.close(id, "quiet");
  EXPECT_EQ(leader->events.find<EncoderLeft>()->reason, "quiet");
  world->thaw("encoder");
  world->advance(from_seconds(10));
  EXPECT_TRUE(leader->events.find<EncoderJoined>());
}

TEST_F(ControlChannel, ALinkOverMpiNeedsNoSecondConnection) {
  auto options = server_options();
  int asked = -1;
  const auto port = std::make_shared<LinkPort>();
  options.mpi_link = [&](int rank) {
    asked = rank;
    return make_tcp_receiver(port);
  };
  start_leader(std::move(options));
  auto client = client_options();
  client.hello.world_rank = 2;
  client.mpi_link = [&] { return make_tcp_sender(port); };
  start_encoder(std::move(client));
  EXPECT_TRUE(leader->events.next<EncoderJoined>());
  EXPECT_TRUE(encoders[0]->events.next<LeaderJoined>());
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(world->connections_made, 1);
}

TEST_F(ControlChannel, EveryEventWakesItsReader) {
  int server_woken = 0;
  int client_woken = 0;
  auto server = server_options();
  server.wake = [&] { ++server_woken; };
  start_leader(std::move(server));
  auto client = client_options();
  client.wake = [&] { ++client_woken; };
  start_encoder(std::move(client));
  world->settle();
  EXPECT_GE(server_woken, 1);
  EXPECT_EQ(client_woken, 1);
}

}  // namespace
}  // namespace uhd
