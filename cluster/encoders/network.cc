#include "cluster/encoders/network.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <future>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/log.h"

namespace uhd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kMaxQueuedBytes = size_t{512} << 20;
constexpr Duration kFlushLimit = std::chrono::seconds(2);  // for the frames queued at close
constexpr Duration kStopLimit = std::chrono::seconds(3);   // for a name look-up that hangs at stop()

// A TcpConnection sends and receives frames over one socket. At most one read and one write are under way,
// whose handlers keep the object alive.
class TcpConnection final : public Connection, public std::enable_shared_from_this<TcpConnection> {
 public:
  explicit TcpConnection(tcp::socket socket)
      : socket_(std::move(socket)), flush_timer_(socket_.get_executor()) {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const auto endpoint = socket_.remote_endpoint(ignored);
    peer_ = format_address({endpoint.address().to_string(), endpoint.port()});
  }

  void start(Handler handler) override {
    handler_ = std::move(handler);
    read_header();
  }

  void send(std::vector<std::byte> frame) override {
    if (closing_) return;
    queued_bytes_ += frame.size();
    if (queued_bytes_ > kMaxQueuedBytes) {
      abandon();
      close("the peer takes no data");
      return;
    }
    queue_.push_back(std::move(frame));
    if (queue_.size() == 1) write_next();
  }

  void close(const std::string& reason) override {
    if (closing_) return;
    closing_ = true;
    if (queue_.empty()) {
      shut();
    } else {
      flush_timer_.expires_after(kFlushLimit);
      flush_timer_.async_wait([self = shared_from_this()](error_code) { self->shut(); });
    }
    // Its owner may be in the midst of one of its functions: tell it afterwards.
    asio::post(socket_.get_executor(), [self = shared_from_this(), reason] {
      const Handler handler = std::exchange(self->handler_, {});
      if (handler.closed) handler.closed(reason);
    });
  }

  // Closes too, but sends nothing any more and tells nobody.
  void abandon() {
    queue_.resize(std::min<size_t>(queue_.size(), 1));  // the first is being written
    shut();
  }
  void silence() {
    closing_ = true;
    handler_ = {};
    abandon();
  }

  std::string peer() const override { return peer_; }

 private:
  void read_header() {
    asio::async_read(socket_, asio::buffer(header_bytes_),
                     [self = shared_from_this()](error_code error, size_t) { self->on_header(error); });
  }

  void on_header(error_code error) {
    if (closing_) return;
    if (error) return close(error == asio::error::eof ? "the peer closed the connection" : error.message());
    try {
      header_ = read_frame_header(header_bytes_);
      const int64_t limit = handler_.limit(header_.type);
      require(limit >= 0, "a frame of type ", static_cast<int>(header_.type), " came out of turn");
      require(header_.length <= limit, "a frame of ", header_.length, " bytes is over the limit of ", limit);
      payload_.resize(header_.length);
    } catch (const Error& e) {
      return close(e.what());
    }
    asio::async_read(socket_, asio::buffer(payload_),
                     [self = shared_from_this()](error_code e, size_t) { self->on_payload(e); });
  }

  void on_payload(error_code error) {
    if (closing_) return;
    if (error) return close(error == asio::error::eof ? "the peer closed the connection" : error.message());
    try {
      check_payload(header_, payload_);
      handler_.frame(header_.type, std::exchange(payload_, {}));
    } catch (const Error& e) {
      return close(e.what());
    }
    if (!closing_) read_header();
  }

  void write_next() {
    asio::async_write(socket_, asio::buffer(queue_.front()),
                      [self = shared_from_this()](error_code error, size_t) { self->on_written(error); });
  }

  void on_written(error_code error) {
    queued_bytes_ -= queue_.front().size();
    queue_.pop_front();
    if (error) {
      queue_.clear();
      shut();
      return close(error.message());
    }
    if (!queue_.empty()) {
      write_next();
    } else if (closing_) {
      shut();
    }
  }

  void shut() {
    error_code ignored;
    flush_timer_.cancel(ignored);
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  tcp::socket socket_;
  asio::steady_timer flush_timer_;
  Handler handler_;
  std::string peer_;
  std::array<std::byte, kFrameHeaderBytes> header_bytes_{};
  FrameHeader header_;
  std::vector<std::byte> payload_;
  std::deque<std::vector<std::byte>> queue_;
  size_t queued_bytes_ = 0;
  bool closing_ = false;
};

// One attempt: look up the name, connect to one of its addresses, all within the limit.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  using Done = std::function<void(error_code, tcp::socket)>;
  Attempt(asio::io_context& io, Done done) : socket_(io), resolver_(io), timer_(io), done_(std::move(done)) {}

  void run(const Address& address, Duration limit) {
    timer_.expires_after(limit);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->finish(asio::error::timed_out);
    });
    resolver_.async_resolve(
        address.host, std::to_string(address.port),
        [self = shared_from_this()](error_code error, const tcp::resolver::results_type& found) {
          if (error) return self->finish(error);
          if (!self->done_) return;
          asio::async_connect(self->socket_, found,
                              [self](error_code e, const tcp::endpoint&) { self->finish(e); });
        });
  }

  void finish(error_code error) {
    const Done done = std::exchange(done_, {});
    if (!done) return;
    error_code ignored;
    timer_.cancel(ignored);
    resolver_.cancel();
    if (error) socket_.close(ignored);
    done(error, std::move(socket_));
  }

 private:
  tcp::socket socket_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  Done done_;
};

class TcpNetwork final : public Network {
 public:
  TcpNetwork() : work_(io_.get_executor()), thread_([this] { run(); }) {}
  ~TcpNetwork() override { stop(); }

  void post(std::function<void()> act) override {
    asio::post(io_, [this, act = std::move(act)] {
      if (!stopping_) act();
    });
  }

  void stop() override {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] {
      stopping_ = true;
      error_code ignored;
      for (auto& acceptor : acceptors_) acceptor->close(ignored);
      for (auto& timer : timers_) timer->cancel(ignored);
      for (auto& weak : attempts_) {
        if (const auto attempt = weak.lock()) attempt->finish(asio::error::operation_aborted);
      }
      for (auto& weak : connections_) {
        if (const auto connection = weak.lock()) connection->silence();
      }
      work_.reset();
    });
    // All that is left ends by itself, but for a name look-up that hangs.
    if (ended_.wait_for(kStopLimit) != std::future_status::ready) io_.stop();
    thread_.join();
  }

  TimePoint now() const override { return Clock::now(); }

  void after(Duration delay, std::function<void()> act) override {
    if (stopping_) return;
    auto timer = std::make_shared<asio::steady_timer>(io_);
    timers_.insert(timer);
    timer->expires_after(delay);
    timer->async_wait([this, timer, act = std::move(act)](error_code error) {
      timers_.erase(timer);
      if (!error && !stopping_) act();
    });
  }

  int listen(const std::string& host, int port, std::function<void(ConnectionPtr)> accepted) override {
    try {
      tcp::resolver resolver(io_);
      const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive);
      acceptors_.push_back(std::make_shared<tcp::acceptor>(io_, found.begin()->endpoint()));
    } catch (const boost::system::system_error& e) {
      throw Error(
          message("cannot listen for encoders on ", format_address({host, port}), ": ", e.code().message()));
    }
    const int bound = acceptors_.back()->local_endpoint().port();
    asio::post(io_, [this, acceptor = acceptors_.back(), accepted = std::move(accepted)] {
      accept(acceptor, accepted);
    });
    return bound;
  }

  void connect(const std::string& address, Duration limit,
               std::function<void(ConnectionPtr, const std::string&)> done) override {
    if (stopping_) return;
    auto attempt =
        std::make_shared<Attempt>(io_, [this, done = std::move(done)](error_code e, tcp::socket s) {
          if (stopping_) return;
          e ? done(nullptr, e.message()) : done(adopt(std::move(s)), "");
        });
    remember(attempts_, attempt);
    attempt->run(parse_address(address), limit);
  }

 private:
  void run() {
    io_.run();
    end_.set_value();
  }

  void accept(const std::shared_ptr<tcp::acceptor>& acceptor,
              const std::function<void(ConnectionPtr)>& accepted) {
    acceptor->async_accept([this, acceptor, accepted](error_code error, tcp::socket socket) {
      if (stopping_ || !acceptor->is_open()) return;
      if (!error) {
        accepted(adopt(std::move(socket)));
        return accept(acceptor, accepted);
      }
      // Out of descriptors, or a client that was gone again: go on, but not in a busy loop.
      if (const auto left_out = failures_.take(Clock::now())) {
        log_warning("cannot accept a connection", "reason", error.message(), "and_others", *left_out);
      }
      after(std::chrono::milliseconds(100), [this, acceptor, accepted] { accept(acceptor, accepted); });
    });
  }

  ConnectionPtr adopt(tcp::socket socket) {
    auto connection = std::make_shared<TcpConnection>(std::move(socket));
    remember(connections_, connection);
    return connection;
  }

  template <class T>
  static void remember(std::vector<std::weak_ptr<T>>& all, const std::shared_ptr<T>& one) {
    std::erase_if(all, [](const auto& weak) { return weak.expired(); });
    all.push_back(one);
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  LogQuota failures_{5, std::chrono::seconds(10)};
  bool stopping_ = false;  // the thread's own, as are the lists below once it listens
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors_;
  std::vector<std::weak_ptr<Attempt>> attempts_;
  std::vector<std::weak_ptr<TcpConnection>> connections_;
  std::set<std::shared_ptr<asio::steady_timer>> timers_;
  std::promise<void> end_;
  std::future<void> ended_ = end_.get_future();
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Network> make_network() { return std::make_unique<TcpNetwork>(); }

Address parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address address;
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    if (address.host.starts_with('[') && address.host.ends_with(']')) {
      address.host = address.host.substr(1, address.host.size() - 2);
    }
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + colon + 1, end, address.port);
    if (read.ec != std::errc() || read.ptr != end) address.port = 0;
  }
  require(!address.host.empty() && address.port >= 1 && address.port <= 65535, "'", text,
          "' is not an address; write host:port");
  return address;
}

std::string format_address(const Address& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return message(v6 ? "[" : "", address.host, v6 ? "]:" : ":", address.port);
}

}  // namespace uhd
