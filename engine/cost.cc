#include "engine/cost.h"

#include <algorithm>
#include <cmath>

namespace uhd {

namespace {

// A decoded row has a step almost for itself, and reads all weights for it.
constexpr std::array<double, 2> kRatio = {1, 8};
constexpr double kPatchInRows = 0.1;  // a tower has fewer weights than its language model
constexpr double kFirstGuess = 1e-3;  // seconds of one row of a prompt, before anything was measured
// Fewer rows of prompts tell of the weights that a step reads, and not of a row.
constexpr int64_t kFewRows = 16;
constexpr double kWeight = 0.1;  // of one measurement

bool is_time(double seconds) { return std::isfinite(seconds) && seconds > 0; }

}  // namespace

bool can_end_within(const StageSeconds& work, double seconds) {
  constexpr double kMargin = 2;
  return std::max(work.encode, work.prefill) + work.decode <= kMargin * seconds;
}

StageSeconds price(const Work& work, const StageSeconds& units, int encoders) {
  return {static_cast<double>(work.patches) * units.encode / std::max(encoders, 1),
          static_cast<double>(work.prefill_rows) * units.prefill,
          static_cast<double>(work.decode_rows) * units.decode};
}

void CostModel::stepped(int64_t prefill_rows, int64_t decode_rows, double seconds) {
  const StageSeconds predicted = predict({.prefill_rows = prefill_rows, .decode_rows = decode_rows}, 1);
  if (predicted.total() <= 0 || !is_time(seconds)) return;
  const double by = seconds / predicted.total();
  // Both are taken before either is corrected.
  const double prefill = rate(kPrefill) * by;
  const double decode = rate(kDecode) * by;
  if (prefill_rows >= kFewRows) correct(kPrefill, prefill, predicted.prefill / predicted.total());
  if (decode_rows > 0) correct(kDecode, decode, predicted.decode / predicted.total());
}

StageSeconds CostModel::units() const {
  return {patch_seconds_.value_or(kPatchInRows * rate(kPrefill)), rate(kPrefill), rate(kDecode)};
}

double CostModel::rate(Stage stage) const {
  if (rates_[stage].measured) return rates_[stage].seconds;
  double unit = 0;
  int measured = 0;
  for (size_t other = 0; other < kStages; ++other) {
    if (!rates_[other].measured) continue;
    unit += rates_[other].seconds / kRatio[other];
    ++measured;
  }
  return kRatio[stage] * (measured > 0 ? unit / measured : kFirstGuess);
}

// `weight`: the stage's part of what was measured, 0 to 1.
void CostModel::correct(Stage stage, double measured, double weight) {
  Mean& own = rates_[stage];
  own.seconds = own.measured ? own.seconds + kWeight * weight * (measured - own.seconds) : measured;
  own.measured = true;
}

}  // namespace uhd
