#include "app/batch_progress.h"

#include "base/error.h"

namespace uhd {
namespace {

constexpr double kBetweenLines_s = 10;

}  // namespace

BatchProgress::BatchProgress(int64_t requests, bool written_over, double now)
    : progress_(requests, written_over, kBetweenLines_s, now) {}

std::optional<std::string> BatchProgress::ended(bool well, double now) {
  progress_.add(1);
  failed_ += well ? 0 : 1;
  if (!progress_.due(now)) return {};
  return end(now);
}

std::string BatchProgress::end(double now) const {
  std::string text = message(progress_.done(), " of ", progress_.total(), " requests");
  if (failed_ > 0) text += message(", ", failed_, " of them failed");
  if (progress_.complete()) return text + ", in " + duration_text(progress_.took(now));
  const std::string left = progress_.left(now);
  return left.empty() ? text : text + ", " + left;
}

}  // namespace uhd
