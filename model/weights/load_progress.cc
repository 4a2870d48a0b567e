#include "model/weights/load_progress.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/bytes_text.h"
#include "base/error.h"

namespace uhd {

namespace {

// These count for the whole process, whose ranks load at the same time.
std::atomic<int64_t> all_bytes{0};
std::atomic<int64_t> loaded_bytes{0};

}  // namespace

std::string load_state() {
  const int64_t done = loaded_bytes, all = all_bytes;
  if (all == 0) return "the model's files are read";
  if (done >= all) return "the weights are loaded, and the ranks try their first steps";
  return message(bytes_text(done), " of ", bytes_text(all), " of weights are loaded");
}

LoadProgress::LoadProgress(std::string what, int64_t total, bool time_left, double now)
    : what_(std::move(what)), total_(total), time_left_(time_left), begun_(now), told_(now) {
  all_bytes += total;
}

std::optional<std::string> LoadProgress::add(int64_t bytes, double now) {
  const int64_t before = done_;
  done_ = std::min(done_ + bytes, total_);  // tied embeddings are read twice
  loaded_bytes += done_ - before;
  if (now - told_ < kInterval || done_ == total_) return {};
  told_ = now;
  std::string line = message(what_, ": ", bytes_text(done_), " of ", bytes_text(total_), " loaded");
  if (!time_left_ || done_ == 0) return line;
  const double left = (now - begun_) * static_cast<double>(total_ - done_) / static_cast<double>(done_);
  return line + message(", about ", std::llround(std::ceil(left)), " s left");
}

}  // namespace uhd
