#include "tests/cluster/simulated_network.h"

#include <utility>

#include "base/error.h"

namespace uhd {

// One end; the other is `peer_`.
class SimulatedConnection final : public Connection,
                                  public std::enable_shared_from_this<SimulatedConnection> {
 public:
  SimulatedConnection(std::shared_ptr<Simulation> world, std::string host)
      : world_(std::move(world)), host_(std::move(host)) {}

  static void join(const std::shared_ptr<SimulatedConnection>& a,
                   const std::shared_ptr<SimulatedConnection>& b) {
    a->peer_ = b;
    b->peer_ = a;
    for (const auto& end : {a, b}) end->world_->connections_.push_back(end);
  }

  const std::string& host() const { return host_; }
  std::string peer() const override { return "simulated"; }

  void start(Handler handler) override {
    handler_ = std::move(handler);
    started_ = true;
    while (!early_.empty() && !closing_) {
      receive(early_.front());
      early_.pop_front();
    }
  }

  void send(std::vector<std::byte> frame) override {
    if (closing_) return;
    world_->ready_.push_back([self = shared_from_this(), frame = std::move(frame)] {
      const auto to = self->peer_.lock();
      if (to && !self->lost() && !to->lost()) to->receive(frame);
    });
  }

  void close(const std::string& reason) override {
    if (closing_) return;
    closing_ = true;
    // The close comes after the frames that were sent before.
    world_->ready_.push_back([self = shared_from_this(), reason] {
      const Handler handler = std::exchange(self->handler_, {});
      if (handler.closed) handler.closed(reason);
      const auto to = self->peer_.lock();
      if (to && !self->lost() && !to->lost()) to->close("the peer closed the connection");
    });
  }

  void silence() {
    handler_ = {};
    close("");
  }

 private:
  bool lost() const { return world_->frozen_.contains(host_); }

  // Reads as a socket's reader does: header, limit, payload.
  void receive(const std::vector<std::byte>& frame) {
    if (closing_) return;
    if (!started_) return early_.push_back(frame);
    try {
      const FrameHeader header = read_frame_header(std::span(frame).first<kFrameHeaderBytes>());
      const int64_t limit = handler_.limit(header.type);
      require(limit >= 0, "a frame of type ", static_cast<int>(header.type), " came out of turn");
      require(header.length <= limit, "a frame of ", header.length, " bytes is over the limit of ", limit);
      const auto payload = std::span(frame).subspan(kFrameHeaderBytes);
      check_payload(header, payload);
      handler_.frame(header.type, {payload.begin(), payload.end()});
    } catch (const Error& e) {
      close(e.what());
    }
  }

  std::shared_ptr<Simulation> world_;
  const std::string host_;
  std::weak_ptr<SimulatedConnection> peer_;
  Handler handler_;
  std::deque<std::vector<std::byte>> early_;
  bool started_ = false;
  bool closing_ = false;
};

class SimulatedNetwork final : public Network {
 public:
  SimulatedNetwork(std::shared_ptr<Simulation> world, std::string host)
      : world_(std::move(world)), host_(std::move(host)) {}
  ~SimulatedNetwork() override { stop(); }

  void post(std::function<void()> act) override { world_->ready_.push_back(while_running(std::move(act))); }

  void stop() override {
    *running_ = false;
    for (int port : ports_) world_->listeners_.erase(port);
    for (const auto& weak : world_->connections_) {
      const auto connection = weak.lock();
      if (connection && connection->host() == host_) connection->silence();
    }
  }

  TimePoint now() const override { return world_->now_; }
  void after(Duration delay, std::function<void()> act) override {
    world_->timers_.emplace(world_->now_ + delay, while_running(std::move(act)));
  }

  int listen(const std::string&, int port, std::function<void(ConnectionPtr)> accepted) override {
    if (port == 0) port = world_->next_port_++;
    require(!world_->listeners_.contains(port), "port ", port, " is taken");
    world_->listeners_[port] = [this, accepted = std::move(accepted)](const auto& client) {
      auto end = std::make_shared<SimulatedConnection>(world_, host_);
      SimulatedConnection::join(client, end);
      accepted(end);
    };
    ports_.push_back(port);
    return port;
  }

  void connect(const std::string& address, Duration limit,
               std::function<void(ConnectionPtr, const std::string&)> done) override {
    ++world_->connections_made;
    if (world_->frozen_.contains(host_)) {
      return after(limit, [done = std::move(done)] { done(nullptr, "timed out"); });
    }
    const auto listener = world_->listeners_.find(parse_address(address).port);
    if (listener == world_->listeners_.end())
      return post([done = std::move(done)] { done(nullptr, "refused"); });
    auto end = std::make_shared<SimulatedConnection>(world_, host_);
    listener->second(end);
    post([done = std::move(done), end] { done(end, ""); });
  }

 private:
  std::function<void()> while_running(std::function<void()> act) const {
    return [running = running_, act = std::move(act)] {
      if (*running) act();
    };
  }

  std::shared_ptr<Simulation> world_;
  const std::string host_;
  std::vector<int> ports_;
  std::shared_ptr<bool> running_ = std::make_shared<bool>(true);
};

std::unique_ptr<Network> Simulation::network(const std::string& host) {
  return std::make_unique<SimulatedNetwork>(shared_from_this(), host);
}

void Simulation::settle() {
  while (!ready_.empty()) {
    const auto act = std::move(ready_.front());
    ready_.pop_front();
    act();
  }
}

void Simulation::advance(Duration time) {
  settle();
  const TimePoint end = now_ + time;
  while (!timers_.empty() && timers_.begin()->first <= end) {
    now_ = timers_.begin()->first;
    const auto act = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    act();
    settle();
  }
  now_ = end;
}

void Simulation::end() {
  const auto ready = std::exchange(ready_, {});
  const auto timers = std::exchange(timers_, {});
}

void Simulation::cut(const std::string& host) {
  for (const auto& weak : connections_) {
    const auto connection = weak.lock();
    if (connection && connection->host() == host) connection->close("the peer closed the connection");
  }
}

}  // namespace uhd
