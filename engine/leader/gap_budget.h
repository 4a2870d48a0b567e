// Divides the gap that those who decode shall see (engine.tpot_target_ms) between prompts and pictures.
#pragma once

#include "engine/slices/slice_encoders.h"
#include "engine/step_time.h"

namespace uhd {

// The turn's step gets the rest of a turn's time when pictures took some, and pictures what a step leaves. A
// target of 0 bounds nothing. Used by the engine's thread.
class GapBudget {
 public:
  explicit GapBudget(double target_s) : target_s_(target_s) {}

  // Returns how many rows a step may have, of at most `most`, those of `decoding` sequences among them.
  // Prompts get enough to be worth reading the weights, but for a turn that pictures took before prompts
  // wanted some.
  int step_rows(int decoding, int most) const;
  // Returns what pictures may take: what a step of those who decode leaves, or half of it where prompts want
  // some, too.
  EncodingTurn encoding_turn(int decoding) const;

  // A look at the encoders took so long.
  void encoded(double seconds) { encoding_s_ = seconds; }
  // A step had the ranks for itself, with so many rows in all.
  void measured(int rows, double seconds) { step_time_.measured(rows, seconds); }
  // Prompts had rows in the last step, or would have had some.
  void prompts_want_rows(bool wanted) { prompts_ = wanted; }

 private:
  const double target_s_;
  StepTime step_time_;
  double encoding_s_ = 0;  // seconds that pictures take of a turn
  bool prompts_ = false;   // prompts want a part of a turn, too
};

}  // namespace uhd
