#include "net/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace uhd {

namespace {

mode_t read_mode(const std::string& text) {
  constexpr int kOctal = 8;
  unsigned mode = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, mode, kOctal);
  require(read.ec == std::errc() && read.ptr == end && mode <= 0777, "net.unix_mode: '", text,
          "' is not a mode such as 0660");
  return static_cast<mode_t>(mode);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  require(!path.empty() && path.size() < sizeof(address.sun_path), "net.unix_socket: a path has 1 to ",
          sizeof(address.sun_path) - 1, " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes a socket's file to which nobody listens. A program that listens may be too busy to answer at once.
void remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return;
  require(S_ISSOCK(found.st_mode), "net.unix_socket: ", path, " is there, and is no socket");
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  require(probe >= 0, "net.unix_socket: cannot make a socket: ", std::strerror(errno));
  const bool met = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int why = met ? 0 : errno;
  close(probe);
  require(!met && why != EAGAIN, "net.unix_socket: another program listens on ", path);
  require(why == ECONNREFUSED, "net.unix_socket: cannot tell who listens on ", path, ": ",
          std::strerror(why));
  unlink(path.c_str());
}

}  // namespace

UnixSocketFile::UnixSocketFile(const std::string& path, const std::string& mode) : path_(path) {
  const mode_t rights = read_mode(mode);
  const sockaddr_un address = address_of(path);
  remove_stale(path, address);
  socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Nobody may connect before the mode is set: a socket takes connections from listen() on.
  const bool listens = socket_ >= 0 &&
                       bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                       chmod(path.c_str(), rights) == 0 && listen(socket_, SOMAXCONN) == 0;
  if (!listens) {
    const std::string why = std::strerror(errno);
    if (socket_ >= 0) close(socket_);
    throw Error(message("net.unix_socket: cannot listen on ", path, ": ", why));
  }
  struct stat made {};
  if (lstat(path.c_str(), &made) == 0) {
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
}

UnixSocketFile::~UnixSocketFile() {
  if (socket_ >= 0) close(socket_);
  struct stat found {};
  const bool ours = lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
  if (ours) unlink(path_.c_str());
}

int UnixSocketFile::release() { return std::exchange(socket_, -1); }

std::string user_of(int socket) {
  ucred who{};
  socklen_t size = sizeof(who);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return "user ?";
  return message("user ", who.uid);
}

}  // namespace uhd
