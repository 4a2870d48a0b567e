// Tells the frontend's threads and the metrics how the engine stands.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "engine/cost.h"
#include "engine/leader/leader_parts.h"
#include "engine/leader/leader_state.h"
#include "engine/leader/request_table.h"
#include "scheduler/scheduler.h"

namespace uhd {

// Used by the engine's thread. References are borrowed.
class LeaderReport {
 public:
  LeaderReport(const LeaderParts& parts, LeaderState& state, const RequestTable& table,
               const Scheduler& scheduler, const CostModel& cost)
      : parts_(parts), state_(state), table_(table), scheduler_(scheduler), cost_(cost) {}

  // `accepted` is the work of all live requests.
  void publish(const Work& accepted);

 private:
  void publish_cost(const Work& accepted, int encoders);
  void count_evictions();
  void tell_debts();

  const LeaderParts& parts_;
  LeaderState& state_;
  const RequestTable& table_;
  const Scheduler& scheduler_;
  const CostModel& cost_;
  int64_t evicted_pages_ = 0;  // evicted pages that were counted
  TimePoint debts_told_;
  std::set<std::string> told_keys_;  // their debts were told, and are told once more when they are gone
};

}  // namespace uhd
