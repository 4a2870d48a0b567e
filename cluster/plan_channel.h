// The step plan from the leader to the other LLM ranks.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"

namespace uhd {

// Plans arrive whole and in order, as checked frames; what they mean is the engine's. Host memory, its own
// communicator, so that plans never mix with collectives. Used by the thread that runs the rank's steps.
class PlanChannel {
 public:
  virtual ~PlanChannel() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Leader (rank 0): to every other rank. Nothing to do in a group of one.
  virtual void send(std::span<const std::byte> plan) = 0;
  // Follower: the next plan, or nothing after the limit, so that the caller can look at its own state. Waits
  // briefly awake, then in growing sleeps up to 1 ms: an idle follower costs next to nothing. A lost leader
  // or a damaged plan is an Error.
  virtual std::optional<std::vector<std::byte>> receive(Duration limit) = 0;
};

constexpr size_t kMaxPlanBytes = size_t{64} << 20;

// One channel a rank, for ranks that are threads of one process.
std::vector<std::unique_ptr<PlanChannel>> make_local_plan_channels(int size);

}  // namespace uhd
