#include "engine/cost.h"

#include <cmath>

namespace uhd {

namespace {

// A decoded row has a step almost for itself, and reads all weights for it.
constexpr std::array<double, 2> kRatio = {1, 8};
constexpr double kFirstGuess = 1e-3;  // seconds of one row of a prompt, before anything was measured
constexpr double kWeight = 0.1;       // of one measurement

bool is_time(double seconds) { return std::isfinite(seconds) && seconds > 0; }

}  // namespace

void CostModel::stepped(int64_t prefill_rows, int64_t decode_rows, double seconds) {
  const StageSeconds predicted = predict({.prefill_rows = prefill_rows, .decode_rows = decode_rows});
  if (predicted.total() <= 0 || !is_time(seconds)) return;
  const double by = seconds / predicted.total();
  // Both are taken before either is corrected.
  const double prefill = rate(kPrefill) * by;
  const double decode = rate(kDecode) * by;
  if (prefill_rows > 0) correct(kPrefill, prefill, predicted.prefill / predicted.total());
  if (decode_rows > 0) correct(kDecode, decode, predicted.decode / predicted.total());
}

StageSeconds CostModel::predict(const Work& work) const {
  return {static_cast<double>(work.prefill_rows) * rate(kPrefill),
          static_cast<double>(work.decode_rows) * rate(kDecode)};
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
  Rate& own = rates_[stage];
  own.seconds = own.measured ? own.seconds + kWeight * weight * (measured - own.seconds) : measured;
  own.measured = true;
}

}  // namespace uhd
