#include "plan/request_cost.h"

#include <gtest/gtest.h>

#include "plan/geometries.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

RequestPlan plan_of(int images, int slices) {
  RequestPlan plan{.prompt_tokens = 600};
  for (int i = 0; i < images; ++i) {
    ImagePlan image;
    image.report.slices = slices;
    image.slice = {336, 322, 552, 64};
    image.overview = {280, 406, 580, 64};
    plan.images.push_back(image);
  }
  return plan;
}

TEST(RequestCost, IsThatOfEveryPieceAndOfThePromptInOneStep) {
  ModelConfig model;
  model.language = k7b;
  model.vision = kTower;
  model.resampler = kResampler;
  const RequestCost cost = request_cost(model, plan_of(2, 2));
  const std::vector<PatchGrid> patches{{23, 24}, {23, 24}, {29, 20}, {23, 24}, {23, 24}, {29, 20}};
  EXPECT_EQ(cost.encode_flops, vision_cost(kTower, kResampler, k7b.hidden, patches).total().flops);
  const AttentionSpan prompt{600, 600};
  EXPECT_EQ(cost.prefill_flops, language_step_cost(k7b, {&prompt, 1}, 1, 1).total().flops);
  EXPECT_GT(cost.encode_flops, 1.9 * request_cost(model, plan_of(1, 2)).encode_flops);
}

TEST(RequestCost, OfTextEncodesNothing) {
  ModelConfig model;
  model.language = k7b;
  const RequestCost cost = request_cost(model, plan_of(0, 0));
  EXPECT_EQ(cost.encode_flops, 0);
  EXPECT_GT(cost.prefill_flops, 0);
}

}  // namespace
}  // namespace uhd
