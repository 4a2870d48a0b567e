#include "engine/step_time.h"

#include <algorithm>
#include <cmath>

namespace uhd {

namespace {

constexpr double kKept = 0.95;  // of the weight of a step, with each that follows

}  // namespace

void StepTime::measured(int rows, double seconds) {
  if (rows <= 0 || !std::isfinite(seconds) || seconds <= 0) return;
  const auto n = static_cast<double>(rows);
  steps_ = kKept * steps_ + 1;
  rows_ = kKept * rows_ + n;
  squares_ = kKept * squares_ + n * n;
  seconds_ = kKept * seconds_ + seconds;
  products_ = kKept * products_ + n * seconds;
  largest_ = std::max(kKept * largest_, n);
}

// Steps of equal rows tell nothing of the part that is fixed, and noise may give a part below zero: then all
// time is taken to be of one part.
StepTime::Line StepTime::line() const {
  if (steps_ == 0) return {};
  const double mean = rows_ / steps_;
  const double spread = squares_ / steps_ - mean * mean;
  const Line proportional{0, seconds_ / rows_};
  if (spread < 1e-6 * mean * mean) return proportional;
  const double per_row = (products_ / steps_ - mean * seconds_ / steps_) / spread;
  if (per_row <= 0) return {seconds_ / steps_, 0};
  const double fixed = seconds_ / steps_ - per_row * mean;
  return fixed < 0 ? proportional : Line{fixed, per_row};
}

double StepTime::predict(int rows) const {
  const Line l = line();
  return l.fixed + l.per_row * std::max(rows, 0);
}

int StepTime::rows_within(double seconds, int least, int most) const {
  const Line l = line();
  if (steps_ > 0) most = std::min(most, std::max(least, static_cast<int>(2 * largest_)));
  if (l.per_row <= 0) return l.fixed > seconds ? std::min(least, most) : most;
  const double rows = (seconds - l.fixed) / l.per_row;
  if (!(rows > least)) return std::min(least, most);
  return rows < most ? static_cast<int>(rows) : most;
}

}  // namespace uhd
