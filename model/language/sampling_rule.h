// A SamplingRule says how a token is chosen from its logits: it holds the numbers that a client gives and the
// sampler reads.
#pragma once

namespace uhd {

struct SamplingRule {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // looks at prompt and output
  float presence_penalty = 0.0f;    // looks at the output
  float frequency_penalty = 0.0f;   // looks at the output
  int logprobs = -1;                // -1: none; 0: of the chosen token; n: also of the n most likely
};

}  // namespace uhd
