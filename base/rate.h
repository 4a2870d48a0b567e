// The seconds that a unit of work takes, of late.
#pragma once

#include <cmath>

namespace uhd {

// A ratio of sums, in which each measurement weighs a part of the one after it: so work that was measured
// together may be told piece by piece. Not thread-safe.
class Rate {
 public:
  // Values that are not numbers, negative times and no units are ignored.
  void measured(double units, double seconds) {
    if (!std::isfinite(units) || !std::isfinite(seconds) || units <= 0 || seconds < 0) return;
    units_ = kKept * units_ + units;
    seconds_ = kKept * seconds_ + seconds;
  }
  bool known() const { return seconds_ > 0; }
  // The rate must be known().
  double seconds_per_unit() const { return seconds_ / units_; }

 private:
  static constexpr double kKept = 0.9;

  double units_ = 0;
  double seconds_ = 0;
};

}  // namespace uhd
