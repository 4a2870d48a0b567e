#include "base/progress.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace uhd {
namespace {

constexpr double kBetweenFrames_s = 0.2;

}  // namespace

Progress::Progress(int64_t total, bool written_over, double interval_s, double now)
    : total_(total), interval_s_(written_over ? kBetweenFrames_s : interval_s), begun_(now), told_(now) {}

void Progress::add(int64_t parts) { done_ = std::min(done_ + parts, total_); }

bool Progress::due(double now) {
  if (now - told_ < interval_s_) return false;
  told_ = now;
  return true;
}

std::string Progress::left(double now) const {
  if (done_ == 0) return "";
  return duration_text(took(now) / static_cast<double>(done_) * static_cast<double>(total_ - done_)) +
         " left";
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 120) return message(whole, " s");
  if (whole < 7200) return message((whole + 59) / 60, " min");
  return message((whole + 3599) / 3600, " h");
}

}  // namespace uhd
