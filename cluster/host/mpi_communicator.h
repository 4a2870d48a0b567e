// Collectives over MPI, on host memory.
#pragma once

#include <memory>

#include "cluster/communicator.h"
#include "cluster/host/mpi_group.h"

namespace uhd {

// Sums do not go through MPI_Allreduce, whose order of additions is the library's: MPI moves bytes, and ranks
// add them up in rank order, in f32, rounded once. So all ranks hold the same bits, at every size, on every
// run, and the same as LocalCommunicator. Small tensors: all-gather, everyone adds everything (one exchange).
// Large ones: every rank adds its part, then all-gather (the bytes of a ring).
std::unique_ptr<Communicator> make_mpi_communicator(MpiGroup group);

// A group of one: nothing to do.
std::unique_ptr<Communicator> make_single_communicator();

}  // namespace uhd
