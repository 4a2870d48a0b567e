// Runs a language model over one prompt on any number of ranks (threads of this process), with small pages in
// an order of their own and prefill in chunks.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/language/forward_input.h"
#include "tests/model/golden_model.h"

namespace uhd {

// The ids hold kVisualToken where a visual row stands; the rows are in the same order.
struct EmbeddedPrompt {
  std::vector<int32_t> ids;
  std::vector<float> visual;  // [visual tokens, H]
};

struct RunOptions {
  int ranks = 1;
  WeightFormat format = WeightFormat::f32;
  std::optional<WeightFormat> matrices = {};  // the format of the model's matrices, if they are quantized
  bool codes = false;  // products with int8 matrices make codes of the activations too, on the CPU
  int steps = 32;
  int chunk = 100;  // the tokens of a prefill step
  int page_size = 16;
  int context = 0;                   // 0: as long as the prompt and its answer
  int tail = 1;                      // the logits of so many last prompt positions are kept
  std::vector<int32_t> forced = {};  // these are fed instead of the chosen ids
  bool stages = false;
};

struct RunResult {
  std::vector<int32_t> ids;                          // the id chosen at each step
  std::vector<float> tail_logits;                    // [tail, V]
  std::vector<std::vector<float>> logits;            // [steps][V]
  std::map<std::string, std::vector<float>> stages;  // the whole prompt [T, H], of rank 0
  size_t all_reduces = 0;                            // all-reduces of one rank, in the first step
};

RunResult run_language_model(const GoldenModel& model, const EmbeddedPrompt& prompt,
                             const RunOptions& options);

}  // namespace uhd
