#include "plan/request_cost.h"

#include "plan/step_cost.h"

namespace uhd {

RequestCost request_cost(const ModelConfig& model, const RequestPlan& plan) {
  RequestCost cost;
  std::vector<int> patches;
  for (const ImagePlan& image : plan.images) {
    patches.insert(patches.end(), static_cast<size_t>(image.report.slices), image.slice.patches);
    patches.push_back(image.overview.patches);
  }
  if (!patches.empty()) {
    cost.encode_flops =
        vision_cost(*model.vision, model.resampler, model.language.hidden, patches).total().flops;
  }
  const AttentionSpan prompt{plan.prompt_tokens, plan.prompt_tokens};
  cost.prefill_flops = language_step_cost(model.language, {&prompt, 1}, 1, 1).total().flops;
  return cost;
}

}  // namespace uhd
