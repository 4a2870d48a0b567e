// Sends step plans over MPI.
#pragma once

#include <memory>

#include "cluster/host/mpi_group.h"
#include "cluster/plan_channel.h"

namespace uhd {

// The group holds the LLM ranks in tensor-parallel order, and carries nothing else.
std::unique_ptr<PlanChannel> make_mpi_plan_channel(MpiGroup group);

}  // namespace uhd
