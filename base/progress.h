// Tells when to say how far something long is, and how long it will still take.
#pragma once

#include <cstdint>
#include <string>

namespace uhd {

// Plain data: the caller brings the time, in seconds from anywhere.
class Progress {
 public:
  // `total` parts are begun `now`. Lines come `interval_s` apart; where one line is written over
  // (StatusLine), it changes five times a second.
  Progress(int64_t total, bool written_over, double interval_s, double now);

  // So many more parts are done; never more than there are.
  void add(int64_t parts);
  int64_t done() const { return done_; }
  int64_t total() const { return total_; }
  bool complete() const { return done_ == total_; }
  int percent() const { return total_ == 0 ? 100 : static_cast<int>(done_ * 100 / total_); }
  // Returns true if something is to be told now.
  bool due(double now);
  double took(double now) const { return now - begun_; }
  // Returns a guess, as "34 s left"; nothing before the first part is done.
  std::string left(double now) const;

 private:
  int64_t total_;
  double interval_s_;
  double begun_, told_;
  int64_t done_ = 0;
};

// Returns "34 s", "12 min" or "3 h", rounded up.
std::string duration_text(double seconds);

}  // namespace uhd
