#include "emulation/nccl_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace uhd::emulation {
namespace {

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int new_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  return fd;
}

bool readable(int fd, const GivenUp& given_up, int look_ms = 20) {
  while (!given_up()) {
    pollfd wanted{fd, POLLIN, 0};
    if (::poll(&wanted, 1, look_ms) > 0) return true;
  }
  return false;
}

ssize_t moved(ssize_t bytes) {
  if (bytes > 0) return bytes;
  return bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Socket Socket::listen() {
  Socket socket(new_socket());
  const sockaddr_in address = loopback(0);
  const bool works = ::bind(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                     ::listen(socket.fd_, 64) == 0;
  return works ? std::move(socket) : Socket();
}

Socket Socket::connect(uint16_t port) {
  Socket socket(new_socket());
  const sockaddr_in address = loopback(port);
  const bool works = ::connect(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  return works ? std::move(socket) : Socket();
}

uint16_t Socket::port() const {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

Socket Socket::accept(const GivenUp& given_up, int look_ms) const {
  if (!readable(fd_, given_up, look_ms)) return Socket();
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  const int yes = 1;
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  return Socket(fd);
}

bool Socket::send_all(const void* data, size_t bytes) const {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::send(fd_, at, bytes, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool Socket::receive_all(void* data, size_t bytes, const GivenUp& given_up) const {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    if (!readable(fd_, given_up)) return false;
    const ssize_t n = ::recv(fd_, at, bytes, 0);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

ssize_t Socket::send_some(const void* data, size_t bytes) const {
  return moved(::send(fd_, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT));
}

ssize_t Socket::receive_some(void* data, size_t bytes) const {
  return moved(::recv(fd_, data, bytes, MSG_DONTWAIT));
}

}  // namespace uhd::emulation
