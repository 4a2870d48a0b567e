// Says how far a batch is: a line that is written over on a terminal, plain lines now and then elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/progress.h"

namespace uhd {

// Plain data: the caller brings the time, in seconds from anywhere, and prints or shows what comes back.
class BatchProgress {
 public:
  // `written_over`: a StatusLine shows what is told.
  BatchProgress(int64_t requests, bool written_over, double now);

  // A request was answered, or given up; returns the line that is due now, if one is.
  std::optional<std::string> ended(bool well, double now);
  // Returns the last line.
  std::string end(double now) const;

 private:
  Progress progress_;
  int64_t failed_ = 0;
};

}  // namespace uhd
