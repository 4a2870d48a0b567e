#include "cluster/encoders/control_client.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "cluster/encoders/handshake.h"
#include "cluster/encoders/secret.h"
#include "cluster/encoders/tcp_visual_link.h"

namespace uhd {

Duration Backoff::next() {
  const Duration wait = from_seconds(seconds_);
  seconds_ = std::min(seconds_ * 2, kLast);
  return wait;
}

namespace {

// One try at a leader, from the connection to its loss.
struct Session {
  ConnectionPtr control;
  ConnectionPtr link;
  std::shared_ptr<LinkPort> port;
  Nonce nonce;
  Welcome welcome;
  bool greeted = false;   // Challenge answered
  bool welcomed = false;  // Welcome checked
  bool joined = false;
  bool ended = false;
  TimePoint heard;
};
using SessionPtr = std::shared_ptr<Session>;

}  // namespace

// Everything but poll() and the event queue happens on the network's thread.
class ControlClient::Impl {
 public:
  Impl(ControlClientOptions options, std::unique_ptr<Network> network)
      : options_(std::move(options)), network_(std::move(network)) {
    parse_address(options_.leader);
    check(!options_.secret.empty(), "an encoder needs a secret to meet its leader");
    network_->post([this] { attempt(); });
  }

  ~Impl() {
    network_->stop();
    if (session_ && session_->port) session_->port->fail("this encoder has ended");
  }

  std::vector<ClientEvent> poll(Duration wait) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, wait, [&] { return !events_.empty(); });
    return std::exchange(events_, {});
  }

  void send(const ControlMessage& message) {
    check(std::holds_alternative<Encoded>(message) || std::holds_alternative<EncodeFailed>(message),
          "an encoder does not send this message");
    auto frame = std::make_shared<std::vector<std::byte>>(encode_message(message));
    network_->post([this, frame] {
      if (session_ && session_->joined) session_->control->send(std::move(*frame));
    });
  }

  void set_outstanding(uint32_t jobs) { outstanding_ = jobs; }

 private:
  void attempt() {
    network_->connect(options_.leader, handshake_limit(),
                      [this](const ConnectionPtr& connection, const std::string& error) {
                        if (!connection)
                          return retry(message("cannot reach the leader at ", options_.leader, ": ", error));
                        begin(connection);
                      });
  }

  void retry(const std::string& reason) {
    session_.reset();
    if (refused_) return;
    if (reason != last_reason_) log_info("no leader yet", "reason", reason);
    last_reason_ = reason;
    warn_of_long_absence(reason);
    network_->after(backoff_.next(), [this] { attempt(); });
  }

  // At a regular end, too, the leader goes first: only one that stays away is worth a warning.
  void warn_of_long_absence(const std::string& reason) {
    constexpr Duration kLong = std::chrono::seconds(10);
    if (!lost_at_ || network_->now() - *lost_at_ < kLong) return;
    log_warning("the leader stays away", "reason", reason);
    lost_at_.reset();
  }

  void begin(const ConnectionPtr& connection) {
    const auto session = std::make_shared<Session>();
    session_ = session;
    session->control = connection;
    session->nonce = random_bytes(32);
    connection->start({[session](FrameType type) { return control_limit(*session, type); },
                       [this, session](FrameType type, std::vector<std::byte> payload) {
                         on_frame(session, type, payload);
                       },
                       [this, session](const std::string& reason) { on_lost(session, reason); }});
    network_->after(handshake_limit(), [weak = std::weak_ptr(session)] {
      const auto late = weak.lock();
      if (late && !late->joined) late->control->close("the leader did not finish the handshake in time");
    });
  }

  static int64_t control_limit(const Session& session, FrameType type) {
    using enum FrameType;
    const auto bytes = static_cast<int64_t>(max_payload(type));
    if (!session.greeted) return type == challenge ? bytes : -1;
    if (!session.welcomed) return type == welcome || type == refused ? bytes : -1;
    return type == encode_job || type == go || type == done || type == cancel || type == heartbeat ? bytes
                                                                                                   : -1;
  }

  void on_frame(const SessionPtr& session, FrameType type, std::span<const std::byte> payload) {
    session->heard = network_->now();
    if (type == FrameType::challenge) {
      if (const auto mismatch = protocol_mismatch(payload)) return give_up(*mismatch);
    }
    ControlMessage message = decode_message(type, payload);
    std::visit([&](auto& m) { on_message(session, std::move(m)); }, message);
  }

  void on_message(const SessionPtr& session, Challenge&& challenge) {
    Hello hello = options_.hello;
    hello.protocol = kControlProtocol;
    hello.nonce = session->nonce;
    if (options_.transport) hello.device = options_.transport->device();
    hello.mac = hello_mac(options_.secret, challenge.nonce, hello);
    session->greeted = true;
    session->control->send(encode_message(hello));
  }

  void on_message(const SessionPtr& session, Welcome&& welcome) {
    if (!proves_secret(welcome, session->nonce, options_.secret)) {
      return give_up("the leader does not know this encoder's secret");
    }
    session->welcome = std::move(welcome);
    session->welcomed = true;
    switch (session->welcome.link) {
      case LinkKind::tcp:
        return open_link(session);
      case LinkKind::mpi:
        require(static_cast<bool>(options_.mpi_link),
                "the leader wants rows over MPI, but is not of this job");
        return join(session, options_.mpi_link());
      case LinkKind::device:
        require(options_.transport != nullptr,
                "the leader wants rows from device to device, but this encoder has no transport");
        return join(session, options_.transport->sender(session->welcome.transport));
    }
  }

  void on_message(const SessionPtr&, Refused&& refused) { give_up(refused.reason); }

  template <class M>
  void on_message(const SessionPtr& session, M&& m) {
    if constexpr (std::is_same_v<M, EncodeJob> || std::is_same_v<M, Go> || std::is_same_v<M, Done> ||
                  std::is_same_v<M, Cancel>) {
      require(session->joined, "a job came before the link");
      push(std::forward<M>(m));
    }
  }

  void open_link(const SessionPtr& session) {
    network_->connect(options_.leader, handshake_limit(),
                      [this, session](const ConnectionPtr& connection, const std::string& error) {
                        if (session->ended) {
                          if (connection) connection->close("too late");
                        } else if (!connection) {
                          session->control->close(message("no second connection to the leader: ", error));
                        } else {
                          begin_link(session, connection);
                        }
                      });
  }

  void begin_link(const SessionPtr& session, const ConnectionPtr& connection) {
    session->link = connection;
    session->port = std::make_shared<LinkPort>();
    const auto limit = [session](FrameType type) -> int64_t {
      const bool awaited =
          !session->joined && (type == FrameType::challenge || type == FrameType::link_ready);
      return awaited ? static_cast<int64_t>(max_payload(type)) : -1;
    };
    const auto frame = [this, session](FrameType type, std::span<const std::byte> payload) {
      if (type == FrameType::challenge) {
        session->link->send(encode_message(LinkHello{session->welcome.encoder, session->welcome.ticket}));
      } else {
        decode_message(type, payload);
        session->port->open(sender(session));
        join(session, make_tcp_sender(session->port));
      }
    };
    connection->start({limit, frame, [session](const std::string& reason) {
                         session->control->close(message("the link was lost: ", reason));
                       }});
  }

  // Frames of rows leave on the network's thread.
  LinkPort::Send sender(const SessionPtr& session) {
    return [this, weak = std::weak_ptr(session)](std::vector<std::byte> frame) {
      auto shared = std::make_shared<std::vector<std::byte>>(std::move(frame));
      network_->post([weak, shared] {
        const auto open = weak.lock();
        if (open && !open->ended) open->link->send(std::move(*shared));
      });
    };
  }

  void join(const SessionPtr& session, std::unique_ptr<VisualLink> link) {
    session->joined = true;
    session->heard = network_->now();
    backoff_.reset();
    lost_at_.reset();
    last_reason_.clear();
    log_info("joined the leader", "leader", options_.leader, "encoder", session->welcome.encoder, "link",
             name_of(session->welcome.link));
    push(LeaderJoined{session->welcome.encoder, std::move(link)});
    beat(session);
  }

  // Says that this encoder lives, and looks whether the leader does.
  void beat(const SessionPtr& session) {
    if (session->ended) return;
    if (network_->now() - session->heard >= from_seconds(session->welcome.lost_after_s)) {
      return session->control->close("the leader is quiet");
    }
    session->control->send(encode_message(Heartbeat{outstanding_}));
    network_->after(from_seconds(session->welcome.heartbeat_s), [this, session] { beat(session); });
  }

  void on_lost(const SessionPtr& session, const std::string& reason) {
    session->ended = true;
    if (session->port) session->port->fail(reason);
    if (session->link) session->link->close(reason);
    if (session->joined) {
      log_info("lost the leader", "reason", reason);
      lost_at_ = network_->now();
      push(LeaderLost{reason});
    }
    retry(reason);
  }

  void give_up(const std::string& reason) {
    refused_ = true;
    push(LeaderRefused{reason});
    session_->control->close(reason);
  }

  template <class T>
  void push(T what) {
    {
      std::lock_guard lock(mutex_);
      events_.push_back({network_->now(), std::move(what)});
    }
    arrived_.notify_all();
    if (options_.wake) options_.wake();
  }

  Duration handshake_limit() const { return from_seconds(options_.handshake_s); }

  const ControlClientOptions options_;
  const std::unique_ptr<Network> network_;  // ends after the session below
  SessionPtr session_;
  Backoff backoff_;
  std::string last_reason_;
  std::optional<TimePoint> lost_at_;  // a leader that was joined, until it is back or missed
  bool refused_ = false;
  std::atomic<uint32_t> outstanding_{0};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<ClientEvent> events_;
};

ControlClient::ControlClient(ControlClientOptions options)
    : ControlClient(std::move(options), make_network()) {}
ControlClient::ControlClient(ControlClientOptions options, std::unique_ptr<Network> network)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(network))) {}
ControlClient::~ControlClient() = default;
std::vector<ClientEvent> ControlClient::poll(Duration wait) { return impl_->poll(wait); }
void ControlClient::send(const ControlMessage& message) { impl_->send(message); }
void ControlClient::set_outstanding(uint32_t jobs) { impl_->set_outstanding(jobs); }

}  // namespace uhd
