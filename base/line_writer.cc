#include "base/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <string_view>
#include <thread>
#include <utility>

namespace uhd {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr size_t kMostLines = size_t{1} << 14;

constexpr const char* kBlankLine = "\r\x1b[K";  // for a terminal

}  // namespace

// Signals are for the threads that wait for them, and a pipe without a reader is no reason to end.
LineWriter::LineWriter(int file) : file_(file) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this] { run(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void LineWriter::write(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + line.size() > kMostBytes || lines_.size() >= kMostLines) {
      ++left_out_;
      return;
    }
    line += '\n';
    bytes_ += line.size();
    lines_.push_back(std::move(line));
  }
  changed_.notify_all();
}

void LineWriter::show_status(std::string text) {
  {
    const std::lock_guard lock(mutex_);
    status_ = std::move(text);
  }
  changed_.notify_all();
}

void LineWriter::flush(Duration limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, limit, [&] { return lines_.empty() && status_ == shown_ && !writing_; });
}

void LineWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !lines_.empty() || status_ != shown_; });
    // They are moved out together: a reader that was away finds the first lines, and then a note that some
    // are missing.
    const std::deque<std::string> lines = std::exchange(lines_, {});
    const std::string status = status_;
    const bool covers = !shown_.empty();
    writing_ = true;
    lock.unlock();
    if (covers) put(kBlankLine);
    for (const std::string& line : lines) put(line);
    lock.lock();
    bytes_ = 0;
    for (const std::string& line : lines_) bytes_ += line.size();
    const size_t left_out = std::exchange(left_out_, 0);
    lock.unlock();
    if (left_out > 0) {
      put("uhd: " + std::to_string(left_out) +
          " lines were left out here, because nobody read them in time\n");
    }
    put(status);
    lock.lock();
    shown_ = status;
    writing_ = false;
    changed_.notify_all();
  }
}

// Writes in parts that a pipe takes whole once it says that there is room. The file stays blocking, because
// it may be shared with programs that do not expect otherwise.
void LineWriter::put(const std::string& text) const {
  std::string_view rest = text;
  while (!rest.empty()) {
    pollfd room{file_, POLLOUT, 0};
    if (poll(&room, 1, -1) < 0) continue;
    const ssize_t written = ::write(file_, rest.data(), std::min<size_t>(rest.size(), PIPE_BUF));
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;
    if (written > 0) rest.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace uhd
