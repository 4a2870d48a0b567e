// Lines to a file descriptor, from a thread of its own: who writes a line never waits for who reads it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

#include "base/clock.h"

namespace uhd {

// All functions may be called from any thread. Lives until the process ends: a thread that waits for a reader
// cannot be told to stop.
class LineWriter {
 public:
  explicit LineWriter(int file);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Queues a line, to which it adds the end. Where too much waits for its reader already, the line is left
  // out; how many were is said in a line of its own, once there is a reader again. A file that cannot be
  // written to takes everything and keeps nothing.
  void write(std::string line);

  // Waits until all that was queued is written, within the limit.
  void flush(Duration limit);

 private:
  ~LineWriter() = default;
  void run();
  void put(const std::string& text) const;

  const int file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  size_t bytes_ = 0;  // of lines_
  size_t left_out_ = 0;
  bool writing_ = false;
};

}  // namespace uhd
