// The least a step of the model has to do on one rank, kernel by kernel: what Llama::forward and
// VisionTower::forward queue, in the words of plan/operation_cost.h. Activations are bf16, and so are weights
// where no format is given. It leaves out a device's work on quantized weights besides reading them
// (expanding them for long prompts).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/weight.h"
#include "model/config.h"
#include "model/vision/patch_grid.h"
#include "plan/operation_cost.h"

namespace uhd {

struct KernelCost {
  std::string name;
  int count = 1;  // the number in the step
  Cost each;
};

struct StepCost {
  std::vector<KernelCost> kernels;
  int all_reduces = 0;
  double all_reduce_bytes = 0;  // bytes of each all-reduce
  int ranks = 1;

  Cost total() const;
};

// Costs one step of one of `ranks` tensor-parallel ranks: the rows of all spans together, and logits for
// `samples` of them. `weights` is the format of the matrices, as Llama loads them.
StepCost language_step_cost(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                            int ranks, WeightFormat weights = WeightFormat::bf16);

// The tower over slices of patches, and the resampler behind it.
StepCost vision_cost(const VisionConfig& vision, const ResamplerConfig& resampler, int language_hidden,
                     std::span<const PatchGrid> slices);

// Returns the time of the kernels one after another, each at its roof, and then of the all-reduces at the
// speed of the link. Launches and latency come on top unless they are hidden.
double roof_seconds(const StepCost& step, const DeviceRoof& device);

// These return the bytes of the language model's weights on one rank, and of K and V of one token.
double weight_bytes(const LanguageConfig& language, int ranks, WeightFormat weights = WeightFormat::bf16);
double kv_token_bytes(const LanguageConfig& language, int ranks);

// A StepRoof answers whether a step could run on a device, and how fast at best.
struct StepRoof {
  double seconds = 0;         // no device of this kind can beat it
  double resident_bytes = 0;  // the rank's weights, and K and V of the spans' tokens
  bool fits = false;          // true if these leave at least a tenth of the device for everything else
};
StepRoof step_roof(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                   int ranks, WeightFormat weights, const DeviceRoof& device);

}  // namespace uhd
