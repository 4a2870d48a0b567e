// A PlanChannel carries step plans from the leader to the other LLM ranks.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "cluster/clock_offset.h"

namespace uhd {

// Says when a follower carried out a plan, by its own clock.
struct StepReport {
  uint64_t number = 0;  // the number of the step
  int rank = 0;
  ClockStamp reached = 0;  // the time when the plan had arrived
  ClockStamp begun = 0;
  ClockStamp ended = 0;
};

// Plans arrive whole and in order, as checked frames; the engine knows what they mean. The channel uses host
// memory and has a communicator of its own, so that plans never mix with collectives. The thread that runs
// the rank's steps uses it.
class PlanChannel {
 public:
  virtual ~PlanChannel() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // The leader (rank 0) sends a plan to every other rank. A group of one has nothing to do.
  virtual void send(std::span<const std::byte> plan) = 0;
  // A follower receives the next plan, or nothing after the limit, so that the caller can look at its own
  // state. It waits briefly awake, then in growing sleeps up to 1 ms: an idle follower costs next to nothing.
  // A lost leader or a damaged plan is an Error.
  virtual std::optional<std::vector<std::byte>> receive(Duration limit) = 0;

  // A follower tells the leader when it carried out a plan that asked for it. It waits for nothing: while too
  // many reports are under way, one is dropped.
  virtual void report(const StepReport& report) = 0;
  // Returns the reports that have come since the last call, as the leader's rank. A damaged one is an Error.
  virtual std::vector<StepReport> reports() = 0;
};

constexpr size_t kMaxPlanBytes = size_t{64} << 20;

// Returns one channel for each rank, for ranks that are threads of one process.
std::vector<std::unique_ptr<PlanChannel>> make_local_plan_channels(int size);

}  // namespace uhd
