// Says how far the loading of a large model is: a line that is written over on a terminal, a line every few
// seconds elsewhere, and none where it is quick.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/progress.h"

namespace uhd {

// Returns, from any thread, how far this process is with all that it has begun to load: "3 GiB of 26 GiB of
// weights are loaded", or what it does before and after that.
std::string load_state();

// Plain data, but for its part of load_state(): the caller brings the time, in seconds from anywhere, and
// logs or shows what comes back.
class LoadProgress {
 public:
  static constexpr double kInterval = 3;

  // `total` bytes are about to be read, from `now` on. `written_over`: a StatusLine shows what is told, with
  // the share that is loaded and the time left.
  LoadProgress(std::string what, int64_t total, bool written_over, double now);

  // So many more bytes were read; returns the line that is due now, if one is.
  std::optional<std::string> add(int64_t bytes, double now);

 private:
  std::string what_;
  bool written_over_;
  Progress progress_;
};

}  // namespace uhd
