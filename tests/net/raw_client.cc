#include "tests/net/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"

namespace uhd {

RawClient::RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval limit{60, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "cannot connect to ",
        port);
}

RawClient::~RawClient() { leave(); }

void RawClient::leave() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void RawClient::reset() {
  const linger at_once{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  leave();
}

void RawClient::end_sending() { ::shutdown(socket_, SHUT_WR); }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool RawClient::fill() {
  char buffer[4096];
  const ssize_t n = ::recv(socket_, buffer, sizeof(buffer), 0);
  closed_by_server_ = n == 0;
  if (n <= 0) return false;
  held_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::string RawClient::read_until(std::string_view mark) {
  size_t at = held_.find(mark);
  while (at == std::string::npos && fill()) at = held_.find(mark);
  const size_t end = at == std::string::npos ? held_.size() : at + mark.size();
  std::string text = held_.substr(0, end);
  held_.erase(0, end);
  return text;
}

std::string RawClient::read_all() {
  while (fill()) {
  }
  return std::exchange(held_, {});
}

RawClient::Response RawClient::read_response() {
  Response response;
  response.header = read_until("\r\n\r\n");
  if (response.header.size() < 12) return response;
  response.status = std::stoi(response.header.substr(9, 3));
  if (response.header.find("Transfer-Encoding: chunked") != std::string::npos) {
    for (;;) {
      const size_t bytes = std::stoul(read_until("\r\n"), nullptr, 16);
      while (held_.size() < bytes + 2 && fill()) {
      }
      response.body += held_.substr(0, bytes);
      held_.erase(0, bytes + 2);
      if (bytes == 0) return response;
    }
  }
  const std::string field = "Content-Length: ";
  const size_t at = response.header.find(field);
  if (at == std::string::npos) return response;
  const size_t bytes = std::stoul(response.header.substr(at + field.size()));
  while (held_.size() < bytes && fill()) {
  }
  response.body = held_.substr(0, bytes);
  held_.erase(0, bytes);
  return response;
}

std::string post(const std::string& path, const std::string& body, const std::string& extra) {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + extra +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string get(const std::string& path, const std::string& extra) {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + extra + "\r\n";
}

}  // namespace uhd
