// Makes a Unix socket to listen on, and owns its file.
#pragma once

#include <sys/types.h>

#include <string>

namespace uhd {

// The file goes with the object. One that a server left behind, to which nobody listens, is replaced; a live
// one, a file of another kind, and a mode that is no octal number are an Error.
class UnixSocketFile {
 public:
  UnixSocketFile(const std::string& path, const std::string& mode);
  ~UnixSocketFile();
  UnixSocketFile(const UnixSocketFile&) = delete;
  UnixSocketFile& operator=(const UnixSocketFile&) = delete;

  // Hands over the listening socket, once.
  int release();

 private:
  const std::string path_;
  int socket_ = -1;
  dev_t device_ = 0;  // the device of the file, so that no later one is removed
  ino_t inode_ = 0;
};

// Names the user at the other end: "user 1000".
std::string user_of(int socket);

}  // namespace uhd
