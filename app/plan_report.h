// Writes the report of `uhd plan`, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "plan/deployment_plan.h"

namespace uhd {

struct DevicePlan {
  DeviceRoof device;
  std::vector<RankPlan> ranks;  // ascending

  // Returns the fewest ranks that hold a sequence; 0 if none of these do.
  int fewest_ranks() const;
};

struct PlanReport {
  ModelConfig model;
  PlanQuestion question;
  RequestShape request;
  std::vector<std::string> refused;  // the numbers of ranks that the model's heads do not allow, and why
  std::vector<DevicePlan> devices;
};

std::string report_text(const PlanReport& report);
std::string report_json(const PlanReport& report);  // one line

}  // namespace uhd
