// How many rows of prompts a decode step hides: while a step waits for the weights to be read, the products
// of some more rows cost next to nothing. Beyond them a step computes, and every row makes the answers of
// those who decode slower. Found by evaluating step_roof, not from a ratio of the device's figures.
#pragma once

#include <span>

#include "kernels/weight.h"
#include "model/config.h"
#include "plan/operation_cost.h"

namespace uhd {

struct HiddenRows {
  int rows = 0;            // 0: rows cost from the first on (activations, or the link of many ranks)
  double step_s = 0;       // roof of the decode step alone
  double with_rows_s = 0;  // and with these rows of one prompt beside it
};

// `decoding`: the sequences of the step, at least one; each is sampled, and so is the prompt. Rows are
// counted in eights, and hidden while eight more cost less than half the time that they would on a device
// whose memory is infinitely fast. At most 16384.
HiddenRows hidden_prefill_rows(const LanguageConfig& language, std::span<const AttentionSpan> decoding,
                               int ranks, WeightFormat weights, const DeviceRoof& device);

}  // namespace uhd
