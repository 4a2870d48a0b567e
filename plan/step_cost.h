// The least a step of the model has to do on one rank, kernel by kernel: what Llama::forward and
// VisionTower::forward queue, in the words of plan/operation_cost.h. Activations are bf16, and so are weights
// where no format is given. What a device does to quantized weights besides reading them (expanding them for
// long prompts) is not counted.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/weight.h"
#include "model/config.h"
#include "plan/operation_cost.h"

namespace uhd {

struct KernelCost {
  std::string name;
  int count = 1;  // in the step
  Cost each;
};

struct StepCost {
  std::vector<KernelCost> kernels;
  int all_reduces = 0;
  double all_reduce_bytes = 0;  // of each
  int ranks = 1;

  Cost total() const;
};

// One step of one of `ranks` tensor-parallel ranks: the rows of all spans together, logits for `samples` of
// them. `weights`: of the matrices, as Llama loads them.
StepCost language_step_cost(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                            int ranks, WeightFormat weights = WeightFormat::bf16);

// The tower over slices of `patches` patches each, and the resampler behind it.
StepCost vision_cost(const VisionConfig& vision, const ResamplerConfig& resampler, int language_hidden,
                     std::span<const int> patches);

// Kernels one after another, each at its roof, then the all-reduces at the speed of the link. Launches and
// latency come on top where they are not hidden.
double roof_seconds(const StepCost& step, const DeviceRoof& device);

// Bytes of the language model's weights on one rank, and of K and V of one token.
double weight_bytes(const LanguageConfig& language, int ranks, WeightFormat weights = WeightFormat::bf16);
double kv_token_bytes(const LanguageConfig& language, int ranks);

// What whoever plans ranks, devices and batch sizes asks of a step: could it run there, and how fast at best?
struct StepRoof {
  double seconds = 0;         // that no device of this kind can beat
  double resident_bytes = 0;  // the rank's weights, and K and V of the spans' tokens
  bool fits = false;          // these leave at least a tenth of the device for everything else
};
StepRoof step_roof(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                   int ranks, WeightFormat weights, const DeviceRoof& device);

}  // namespace uhd
