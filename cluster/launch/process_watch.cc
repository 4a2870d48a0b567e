#include "cluster/launch/process_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace uhd {
namespace {

// 0: there is no such process, or it waits for its parent to hear of its end.
uint64_t start_of(int32_t pid) {
  std::ifstream file(message("/proc/", pid, "/stat"));
  std::string text;
  std::getline(file, text, '\0');
  const size_t name_end = text.rfind(')');  // the name before it may hold anything
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int kStart = 20;  // among the fields after the name
  for (int i = 0; i < kStart; ++i) {
    if (!(fields >> field)) return 0;
    if (i == 0 && field == "Z") return 0;
  }
  return std::stoull(field);
}

// Readable once the process has ended; -1 where it cannot be had.
int open_process(const ProcessId& process) {
  const auto file = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (file < 0 && errno != ESRCH) {
    log_warning("a process cannot be watched", "pid", process.pid, "reason", std::strerror(errno));
  }
  return file;
}

}  // namespace

ProcessId process_of(int32_t pid) {
  struct stat space {};
  stat(message("/proc/", pid, "/ns/pid").c_str(), &space);
  return {pid, start_of(pid), space.st_ino};
}

ProcessId own_process() { return process_of(getpid()); }

ProcessWatch::ProcessWatch(const std::vector<ProcessId>& peers, std::function<void(size_t)> ended)
    : ended_(std::move(ended)) {
  std::vector<size_t> gone;
  for (const ProcessId& peer : peers) {
    files_.push_back(open_process(peer));
    if (start_of(peer.pid) != peer.started) gone.push_back(files_.size() - 1);
  }
  files_.push_back(eventfd(0, EFD_CLOEXEC));
  check(files_.back() >= 0, "no event to end a thread by: ", std::strerror(errno));
  thread_ = std::thread([this, gone = std::move(gone)] {
    for (size_t peer : gone) {
      if (files_[peer] >= 0) close(files_[peer]);
      files_[peer] = -1;
      ended_(peer);
    }
    run();
  });
}

ProcessWatch::~ProcessWatch() {
  const uint64_t one = 1;
  while (write(files_.back(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
  for (int file : files_) {
    if (file >= 0) close(file);
  }
}

void ProcessWatch::run() {
  std::vector<pollfd> polled;
  for (int file : files_) polled.push_back({file, POLLIN, 0});
  while (polled.back().revents == 0) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (size_t peer = 0; peer + 1 < polled.size() && polled.back().revents == 0; ++peer) {
      if (polled[peer].revents == 0) continue;
      polled[peer].fd = -1;  // poll passes over it
      polled[peer].revents = 0;
      ended_(peer);
    }
  }
}

}  // namespace uhd
