// Says how far the loading of a large model is: a line every few seconds, and none where it is quick.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace uhd {

// Returns, from any thread, how far this process is with all that it has begun to load: "3 GiB of 26 GiB of
// weights are loaded", or what it does before and after that.
std::string load_state();

// Plain data, but for its part of load_state(): the caller brings the time, in seconds from anywhere, and
// logs what comes back.
class LoadProgress {
 public:
  static constexpr double kInterval = 3;

  // `total` bytes are about to be read, from `now` on. `time_left`: each line ends with a guess of it.
  LoadProgress(std::string what, int64_t total, bool time_left, double now);

  // So many more bytes were read; returns the line that is due now, if one is.
  std::optional<std::string> add(int64_t bytes, double now);

 private:
  std::string what_;
  int64_t total_;
  bool time_left_;
  double begun_, told_;
  int64_t done_ = 0;
};

}  // namespace uhd
