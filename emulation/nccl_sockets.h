// Gives the NCCL stand-in its sockets: they are loopback only, and every wait ends when `given_up` says so.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace uhd::emulation {

using GivenUp = std::function<bool()>;

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();

  static Socket listen();  // listens on a free port
  static Socket connect(uint16_t port);
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint16_t port() const;
  // Looks at given_up every look_ms milliseconds.
  Socket accept(const GivenUp& given_up, int look_ms = 20) const;

  // These move whole messages. They return false if the other side is gone or `given_up` says so.
  bool send_all(const void* data, size_t bytes) const;
  bool receive_all(void* data, size_t bytes, const GivenUp& given_up) const;
  // These move what they can without waiting. They return the bytes moved, 0 if nothing can move, or -1 if
  // the other side is gone.
  ssize_t send_some(const void* data, size_t bytes) const;
  ssize_t receive_some(void* data, size_t bytes) const;

 private:
  int fd_ = -1;
};

}  // namespace uhd::emulation
