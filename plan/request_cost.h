// Prices a request's plan by the cost model of steps.
#pragma once

#include "engine/request_plan.h"
#include "model/config.h"

namespace uhd {

// The work of all ranks together, if no slice and no page is cached: every piece through the tower, and the
// prompt in one step with the logits of its last row.
RequestCost request_cost(const ModelConfig& model, const RequestPlan& plan);

}  // namespace uhd
