// The engine's thread tells its callers these single values, and they tell each other; nobody needs a lock.
#pragma once

#include <atomic>

#include "engine/cost.h"
#include "engine/leader/known_cuts.h"
#include "engine/leader/quotas.h"

namespace uhd {

struct LeaderState {
  std::atomic<int> places{0};  // answers that were accepted and have not ended
  std::atomic<bool> draining{false};
  std::atomic<bool> failed{false};  // ranks are lost: nothing can be computed any more
  std::atomic<int> running{0};      // sequences that have a place in the step
  std::atomic<int> free_pages{0};
  std::atomic<int> cached_pages{0};  // pages that keep their content for later requests, held or not
  std::atomic<int> encoders{0};
  std::atomic<int> slices_queued{0};
  std::atomic<double> queued_seconds{0};  // predicted for all that was accepted and has not ended
  std::atomic<double> patch_seconds{0};   // CostModel::units, once they are known
  std::atomic<double> prompt_row_seconds{0};
  std::atomic<double> decoded_row_seconds{0};
  StageSeconds units() const { return {patch_seconds, prompt_row_seconds, decoded_row_seconds}; }
  Quotas quotas;                        // it has a lock of its own
  KnownCuts cuts;                       // it has a lock of its own, too
  std::atomic<double> deepest_debt{0};  // the deepest debt of a client, in rows of prompts (Scheduler::turns)
};

}  // namespace uhd
