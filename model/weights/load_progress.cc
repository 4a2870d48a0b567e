#include "model/weights/load_progress.h"

#include <atomic>

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

LoadProgress::LoadProgress(std::string what, int64_t total, bool written_over, double now)
    : what_(std::move(what)), written_over_(written_over), progress_(total, written_over, kInterval, now) {
  all_bytes += total;
}

std::optional<std::string> LoadProgress::add(int64_t bytes, double now) {
  const int64_t before = progress_.done();
  progress_.add(bytes);  // tied embeddings are read twice
  loaded_bytes += progress_.done() - before;
  if (progress_.complete() || !progress_.due(now)) return {};
  const std::string loaded =
      message(bytes_text(progress_.done()), " of ", bytes_text(progress_.total()), " loaded");
  if (!written_over_) return message(what_, ": ", loaded);
  const std::string left = progress_.left(now);
  return message(what_, ": ", progress_.percent(), " %, ", loaded, left.empty() ? "" : ", ", left);
}

}  // namespace uhd
