#include "app/batch_progress.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace uhd {
namespace {

constexpr double kBetweenLines_s = 10;
constexpr double kBetweenFrames_s = 0.2;

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 120) return message(whole, " s");
  if (whole < 7200) return message((whole + 59) / 60, " min");
  return message((whole + 3599) / 3600, " h");
}

}  // namespace

std::string BatchProgress::ended(bool well, double now) {
  ++ended_;
  failed_ += well ? 0 : 1;
  if (now - told_ < (terminal_ ? kBetweenFrames_s : kBetweenLines_s)) return "";
  told_ = now;
  return terminal_ ? "\r\x1b[K" + line(now) : line(now) + '\n';
}

std::string BatchProgress::end(double now) const { return (terminal_ ? "\r\x1b[K" : "") + line(now) + '\n'; }

std::string BatchProgress::line(double now) const {
  std::string text = message(ended_, " of ", total_, " requests");
  if (failed_ > 0) text += message(", ", failed_, " of them failed");
  const double took = std::max(1e-9, now - begun_);
  if (ended_ == 0) return text;
  if (ended_ == total_) return text + ", in " + duration_text(took);
  return text + ", " +
         duration_text(took / static_cast<double>(ended_) * static_cast<double>(total_ - ended_)) + " left";
}

}  // namespace uhd
