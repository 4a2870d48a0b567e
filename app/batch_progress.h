// Says how far a batch is, on standard error: one line that is written over on a terminal, plain lines now
// and then elsewhere.
#pragma once

#include <cstddef>
#include <string>

namespace uhd {

// Plain data, but for what it prints: the caller brings the time, in seconds from anywhere.
class BatchProgress {
 public:
  BatchProgress(size_t total, bool terminal, double now)
      : total_(total), terminal_(terminal), begun_(now), told_(now) {}

  // A request was answered, or given up; returns what is to be printed now, often nothing.
  std::string ended(bool well, double now);
  // Returns what is to be printed at the end.
  std::string end(double now) const;

 private:
  std::string line(double now) const;

  size_t total_;
  bool terminal_;
  double begun_, told_;
  size_t ended_ = 0;
  size_t failed_ = 0;
};

}  // namespace uhd
