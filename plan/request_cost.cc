#include "plan/request_cost.h"

#include "plan/step_cost.h"

namespace uhd {

RequestCost request_cost(const ModelConfig& model, const RequestPlan& plan) {
  RequestCost cost;
  std::vector<PatchGrid> slices;
  for (const ImagePlan& image : plan.images) {
    const auto grid_of = [&](const PiecePlan& piece) {
      return PatchGrid{piece.height / model.vision->patch, piece.width / model.vision->patch};
    };
    slices.insert(slices.end(), static_cast<size_t>(image.report.slices), grid_of(image.slice));
    slices.push_back(grid_of(image.overview));
  }
  if (!slices.empty()) {
    cost.encode_flops =
        vision_cost(*model.vision, model.resampler, model.language.hidden, slices).total().flops;
  }
  const AttentionSpan prompt{plan.prompt_tokens, plan.prompt_tokens};
  cost.prefill_flops = language_step_cost(model.language, {&prompt, 1}, 1, 1).total().flops;
  return cost;
}

}  // namespace uhd
