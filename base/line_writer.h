// Writes lines to a file descriptor from a thread of its own, so that the caller never waits for the reader.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

#include "base/clock.h"

namespace uhd {

// All functions may be called from any thread. A LineWriter lives until the process ends, because a thread
// that waits for a reader cannot be told to stop.
class LineWriter {
 public:
  explicit LineWriter(int file);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Queues a line and adds the line end. When too much waits for the reader already, the line is dropped;
  // once there is a reader again, a line of its own tells how many were dropped. A file that cannot be
  // written to takes everything and keeps nothing.
  void write(std::string line);

  // Shows a text behind the last line, where the file is a terminal: the next one is written over it, and
  // lines come above it. An empty one takes it away. Only the newest waits for the reader.
  void show_status(std::string text);

  // Waits until everything queued is written, but no longer than the limit.
  void flush(Duration limit);

 private:
  ~LineWriter() = default;
  void run();
  void put(const std::string& text) const;

  const int file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  size_t bytes_ = 0;  // the bytes of lines_
  size_t left_out_ = 0;
  std::string status_;
  std::string shown_;  // the part of it that the terminal shows
  bool writing_ = false;
};

}  // namespace uhd
