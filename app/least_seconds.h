// Times calls again and again, so that what other processes take is mostly left out.
#pragma once

#include <functional>

#include "cluster/communicator.h"

namespace uhd {

// Returns the seconds of one call: the fifth percentile of as many as fit the budget.
double least_seconds(double budget_s, const std::function<void()>& call);

// Does the same for a call that all ranks of the group make together: each makes as many as rank 0 chooses.
double least_seconds_together(Communicator& group, double budget_s, const std::function<void()>& call);

}  // namespace uhd
