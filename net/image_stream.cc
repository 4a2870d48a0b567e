#include "net/image_stream.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uhd {
namespace {

using namespace std::chrono_literals;

class Socket {
 public:
  Socket(int family, const StreamLimits& limits)
      : socket_(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        limits_(limits),
        deadline_(limits.open_by) {}
  Socket(Socket&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        limits_(std::move(other.limits_)),
        deadline_(other.deadline_) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (socket_ >= 0) ::close(socket_);
  }
  int get() const { return socket_; }
  void opened() { deadline_ = limits_.deadline; }

  // Returns false once the deadline is over, or the stop was asked for.
  bool wait(short events) const {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
      if (left <= 0ms || limits_.stop.stop_requested()) return false;
      pollfd waits{socket_, events, 0};
      const int ready = ::poll(&waits, 1, static_cast<int>(std::min(left, kStopLook).count()));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  bool connect(const sockaddr& address, socklen_t length) const {
    if (socket_ < 0) return false;
    if (::connect(socket_, &address, length) == 0) return true;
    if (errno != EINPROGRESS || !wait(POLLOUT)) return false;
    int failed = 0;
    socklen_t size = sizeof(failed);
    return getsockopt(socket_, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 && failed == 0;
  }

 private:
  int socket_;
  StreamLimits limits_;
  TimePoint deadline_;  // the one of them that holds now
};

class PlainStream final : public ImageStream {
 public:
  explicit PlainStream(Socket socket) : socket_(std::move(socket)) { socket_.opened(); }

  bool write(std::string_view bytes) override {
    while (!bytes.empty()) {
      if (!socket_.wait(POLLOUT)) return false;
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && !is_passing(errno)) return false;
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  ptrdiff_t read(std::span<char> bytes) override {
    while (socket_.wait(POLLIN)) {
      const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
      if (got >= 0 || !is_passing(errno)) return got;
    }
    return -1;
  }

 private:
  static bool is_passing(int error) { return error == EAGAIN || error == EINTR; }

  Socket socket_;
};

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* tls) const { SSL_free(tls); }
};

bool is_address(const std::string& host) {
  in6_addr any{};
  return inet_pton(AF_INET, host.c_str(), &any) == 1 || inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

class TlsStream final : public ImageStream {
 public:
  explicit TlsStream(Socket socket) : socket_(std::move(socket)) {}

  bool shake_hands(const std::string& host) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr || SSL_CTX_set_default_verify_paths(context_.get()) != 1 ||
        SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) != 1) {
      return false;
    }
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    tls_.reset(SSL_new(context_.get()));
    if (tls_ == nullptr || SSL_set_fd(tls_.get(), socket_.get()) != 1 || !expect(host)) return false;
    if (done([&] { return SSL_connect(tls_.get()); }) <= 0) return false;
    socket_.opened();
    return true;
  }

  bool write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const int sent =
          done([&] { return SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())); });
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  ptrdiff_t read(std::span<char> bytes) override {
    const int got = done([&] { return SSL_read(tls_.get(), bytes.data(), static_cast<int>(bytes.size())); });
    if (got > 0) return got;
    return SSL_get_shutdown(tls_.get()) == SSL_RECEIVED_SHUTDOWN ? 0 : -1;
  }

 private:
  bool expect(const std::string& host) {
    if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), host.c_str()) == 1;
    return SSL_set_tlsext_host_name(tls_.get(), host.c_str()) == 1 &&
           SSL_set1_host(tls_.get(), host.c_str()) == 1;
  }

  // Repeats an operation that waits for the socket.
  template <class Act>
  int done(const Act& act) {
    while (true) {
      ERR_clear_error();  // SSL_get_error() looks at what an earlier call left behind
      const int result = act();
      if (result > 0) return result;
      const int why = SSL_get_error(tls_.get(), result);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return -1;
      if (!socket_.wait(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) return -1;
    }
  }

  Socket socket_;
  std::unique_ptr<SSL_CTX, FreeTls> context_;
  std::unique_ptr<SSL, FreeTls> tls_;
};

}  // namespace

std::unique_ptr<ImageStream> open_image_stream(const sockaddr& address, socklen_t length,
                                               const std::string& tls_host, const StreamLimits& limits) {
  Socket socket(address.sa_family, limits);
  if (!socket.connect(address, length)) return nullptr;
  if (tls_host.empty()) return std::make_unique<PlainStream>(std::move(socket));
  auto stream = std::make_unique<TlsStream>(std::move(socket));
  if (!stream->shake_hands(tls_host)) return nullptr;
  return stream;
}

}  // namespace uhd
