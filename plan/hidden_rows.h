// Finds how many rows of prompts a decode step hides. While a step waits for the weights to be read, the
// products of some more rows cost next to nothing; beyond them a step computes, and every row slows the
// sequences that decode. The number is found by evaluating step_roof, and not from a ratio of the device's
// figures.
#pragma once

#include <span>

#include "kernels/weight.h"
#include "model/config.h"
#include "plan/operation_cost.h"

namespace uhd {

struct HiddenRows {
  int rows = 0;            // 0: rows cost from the first on (activations, or the link of many ranks)
  double step_s = 0;       // the roof of the decode step alone
  double with_rows_s = 0;  // the roof of that step with these rows of one prompt beside it
};

// `decoding` holds the sequences of the step, at least one; each is sampled, and so is the prompt. Rows are
// counted in eights. Eight more count as hidden if they cost less than half the time that they would on a
// device whose memory is infinitely fast. The result is at most 16384.
HiddenRows hidden_prefill_rows(const LanguageConfig& language, std::span<const AttentionSpan> decoding,
                               int ranks, WeightFormat weights, const DeviceRoof& device);

}  // namespace uhd
