#include "cluster/encoders/control_server.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "cluster/encoders/handshake.h"
#include "cluster/encoders/secret.h"
#include "cluster/encoders/tcp_visual_link.h"

namespace uhd {
namespace {

constexpr size_t kMaxGuests = 64;               // connections that have not proved themselves
constexpr size_t kMaxEvents = size_t{1} << 16;  // that the engine has not polled

// An encoder: its control connection, its link connection if rows go over TCP.
struct Peer {
  EncoderId id = 0;
  Hello hello;
  ConnectionPtr control;
  ConnectionPtr link;
  std::shared_ptr<LinkPort> port;
  Nonce ticket;
  LinkKind kind = LinkKind::tcp;
  bool joined = false;
};

// A Guest is one connection, before and after it has said who it is.
struct Guest {
  ConnectionPtr connection;
  Nonce nonce;
  std::shared_ptr<Peer> peer;  // set by Hello or LinkHello
  bool is_link = false;
};
using GuestPtr = std::shared_ptr<Guest>;

}  // namespace

// Everything but poll() and the event queue happens on the network's thread.
class ControlServer::Impl {
 public:
  Impl(ControlServerOptions options, std::unique_ptr<Network> network)
      : options_(std::move(options)), network_(std::move(network)) {
    check(!options_.secret.empty(), "a leader needs a secret to listen for encoders");
    port_ =
        network_->listen(options_.host, options_.port, [this](const ConnectionPtr& c) { welcome_guest(c); });
    network_->post([this] { send_heartbeats(); });
  }

  ~Impl() {
    network_->stop();
    for (auto& [id, peer] : peers_) {
      if (peer->port) peer->port->fail("the leader has ended");
    }
  }

  int port() const { return port_; }

  std::vector<ServerEvent> poll() {
    std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

  void send(EncoderId encoder, const ControlMessage& message) {
    check(std::holds_alternative<EncodeJob>(message) || std::holds_alternative<Go>(message) ||
              std::holds_alternative<Done>(message) || std::holds_alternative<Cancel>(message),
          "a leader does not send this message");
    auto frame = std::make_shared<std::vector<std::byte>>(encode_message(message));
    network_->post([this, encoder, frame] {
      if (const auto peer = peers_.find(encoder); peer != peers_.end()) {
        peer->second->control->send(std::move(*frame));
      }
    });
  }

  void close(EncoderId encoder, const std::string& reason) {
    network_->post([this, encoder, reason] {
      if (const auto peer = peers_.find(encoder); peer != peers_.end()) peer->second->control->close(reason);
    });
  }

 private:
  void welcome_guest(const ConnectionPtr& connection) {
    make_room();
    const auto guest = std::make_shared<Guest>();
    guest->connection = connection;
    guest->nonce = random_bytes(32);
    guests_.push_back(guest);
    connection->start({[this, guest](FrameType type) { return limit(*guest, type); },
                       [this, guest](FrameType type, std::vector<std::byte> payload) {
                         on_frame(guest, type, std::move(payload));
                       },
                       [this, guest](const std::string& reason) { on_closed(guest, reason); }});
    connection->send(encode_message(Challenge{kControlProtocol, guest->nonce}));
    network_->after(from_seconds(options_.handshake_s), [weak = std::weak_ptr(guest)] {
      const auto late = weak.lock();
      if (late && !(late->peer && late->peer->joined)) late->connection->close("no handshake in time");
    });
  }

  // A newcomer has the better right: an encoder proves itself within a moment, and a silent crowd must not
  // keep it out.
  void make_room() {
    if (guests_.size() < kMaxGuests) return;
    const auto stranger =
        std::find_if(guests_.begin(), guests_.end(), [](const GuestPtr& g) { return g->peer == nullptr; });
    if (stranger == guests_.end()) return;
    const ConnectionPtr connection = (*stranger)->connection;
    guests_.erase(stranger);
    connection->close("too many connections that have not proved the secret");
  }

  int64_t limit(const Guest& guest, FrameType type) const {
    using enum FrameType;
    const auto small = static_cast<int64_t>(max_payload(type));
    if (!guest.peer) return type == hello || type == link_hello ? small : -1;
    if (guest.is_link) return guest.peer->port->limit(type);
    return type == encoded || type == encode_failed || type == heartbeat ? small : -1;
  }

  void on_frame(const GuestPtr& guest, FrameType type, std::vector<std::byte> payload) {
    if (guest->is_link) {
      guest->peer->port->arrived(std::move(payload));
      wake();
    } else if (guest->peer) {
      on_message(*guest->peer, decode_message(type, payload));
    } else if (type == FrameType::link_hello) {
      on_link(guest, std::get<LinkHello>(decode_message(type, payload)));
    } else if (const auto mismatch = protocol_mismatch(payload)) {
      refuse(guest, *mismatch);
    } else {
      on_hello(guest, std::get<Hello>(decode_message(type, payload)));
    }
  }

  void on_message(Peer& peer, ControlMessage message) {
    require(peer.joined, "a message came before the link");
    std::visit(
        [&](auto& m) {
          using M = std::decay_t<decltype(m)>;
          if constexpr (std::is_same_v<M, Encoded> || std::is_same_v<M, EncodeFailed> ||
                        std::is_same_v<M, Heartbeat>) {
            require(push(peer.id, std::move(m)), "the engine does not keep up with this encoder's messages");
          }
        },
        message);
  }

  void on_hello(const GuestPtr& guest, Hello hello) {
    if (const auto reason = reason_to_refuse(hello, guest->nonce, options_.secret, options_.facts)) {
      return refuse(guest, *reason);
    }
    if (peers_.size() >= static_cast<size_t>(options_.max_encoders)) {
      return refuse(guest, message("the leader has ", options_.max_encoders, " encoders already"));
    }
    const auto peer = std::make_shared<Peer>();
    peer->id = next_id_++;
    peer->control = guest->connection;
    peer->ticket = random_bytes(32);
    Welcome welcome;
    welcome.encoder = peer->id;
    welcome.ticket = peer->ticket;
    welcome.heartbeat_s = options_.heartbeat_s;
    welcome.lost_after_s = options_.lost_after_s;
    std::unique_ptr<VisualLink> link = direct_link(hello, welcome);
    peer->kind = welcome.link;
    welcome.mac = welcome_mac(options_.secret, hello.nonce, welcome);
    peer->hello = std::move(hello);
    guest->peer = peer;
    peers_[peer->id] = peer;
    peer->control->send(encode_message(welcome));
    if (link) join(guest, std::move(link));
  }

  // The best link that needs no second connection, named in the welcome; null: there is none.
  std::unique_ptr<VisualLink> direct_link(const Hello& hello, Welcome& welcome) const {
    if (options_.transport && !hello.device.empty() && hello.device != options_.transport->device()) {
      try {
        welcome.transport = options_.transport->new_id();
        welcome.link = LinkKind::device;
        return options_.transport->receiver(welcome.transport);
      } catch (const Error& e) {
        log_warning("an encoder's rows go by way of the host", "host", hello.host, "reason", e.what());
      }
    }
    if (hello.world_rank < 0 || !options_.mpi_link) return nullptr;
    std::unique_ptr<VisualLink> mpi = options_.mpi_link(hello.world_rank);
    if (mpi) welcome.link = LinkKind::mpi;
    return mpi;
  }

  void on_link(const GuestPtr& guest, const LinkHello& hello) {
    const auto found = peers_.find(hello.encoder);
    require(found != peers_.end() && !found->second->joined && !found->second->link &&
                equal_secrets(found->second->ticket, hello.ticket),
            "a link came that was not agreed");
    const auto peer = found->second;
    guest->peer = peer;
    guest->is_link = true;
    peer->link = guest->connection;
    peer->port = std::make_shared<LinkPort>();
    peer->link->send(encode_message(LinkReady{}));
    join(guest, make_tcp_receiver(peer->port));
  }

  void join(const GuestPtr& guest, std::unique_ptr<VisualLink> link) {
    Peer& peer = *guest->peer;
    peer.joined = true;
    guests_.remove_if([&](const GuestPtr& g) { return g->peer.get() == &peer; });
    log_info("encoder joined", "encoder", peer.id, "host", peer.hello.host, "backend", peer.hello.backend,
             "link", name_of(peer.kind));
    push(peer.id, EncoderJoined{peer.hello, std::move(link)}, true);
  }

  void refuse(const GuestPtr& guest, const std::string& reason) {
    if (const auto left_out = refusals_.take(network_->now())) {
      log_warning("encoder refused", "peer", guest->connection->peer(), "reason", reason, "and_others",
                  *left_out);
    }
    guest->connection->send(encode_message(Refused{reason}));
    guest->connection->close(reason);
  }

  void on_closed(const GuestPtr& guest, const std::string& reason) {
    guests_.remove(guest);
    const auto peer = std::exchange(guest->peer, nullptr);
    if (!peer) return;
    if (guest->is_link) return peer->control->close(message("its link was lost: ", reason));
    peers_.erase(peer->id);
    if (peer->port) peer->port->fail(reason);
    if (peer->link) peer->link->close(reason);
    if (!peer->joined) return;
    log_warning("encoder left", "encoder", peer->id, "reason", reason);
    push(peer->id, EncoderLeft{reason}, true);
  }

  void send_heartbeats() {
    const auto frame = encode_message(Heartbeat{});
    for (auto& [id, peer] : peers_) peer->control->send(frame);
    network_->after(from_seconds(options_.heartbeat_s), [this] { send_heartbeats(); });
  }

  // Returns false when too many events wait; joining and leaving is always reported.
  template <class T>
  bool push(EncoderId encoder, T what, bool always = false) {
    {
      std::lock_guard lock(mutex_);
      if (!always && events_.size() >= kMaxEvents) return false;
      events_.push_back({encoder, network_->now(), std::move(what)});
    }
    wake();
    return true;
  }

  void wake() const {
    if (options_.wake) options_.wake();
  }

  const ControlServerOptions options_;
  const std::unique_ptr<Network> network_;  // ends after the connections below
  int port_ = 0;
  EncoderId next_id_ = 1;
  std::list<GuestPtr> guests_;  // until they have joined, in the order in which they came
  LogQuota refusals_{5, std::chrono::seconds(10)};
  std::map<EncoderId, std::shared_ptr<Peer>> peers_;
  std::mutex mutex_;
  std::vector<ServerEvent> events_;
};

ControlServer::ControlServer(ControlServerOptions options)
    : ControlServer(std::move(options), make_network()) {}
ControlServer::ControlServer(ControlServerOptions options, std::unique_ptr<Network> network)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(network))) {}
ControlServer::~ControlServer() = default;
int ControlServer::port() const { return impl_->port(); }
std::vector<ServerEvent> ControlServer::poll() { return impl_->poll(); }
void ControlServer::send(EncoderId encoder, const ControlMessage& message) { impl_->send(encoder, message); }
void ControlServer::close(EncoderId encoder, const std::string& reason) { impl_->close(encoder, reason); }

}  // namespace uhd
