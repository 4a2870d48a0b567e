// Runs collectives over MPI, on host memory.
#pragma once

#include <memory>

#include "cluster/communicator.h"
#include "cluster/host/mpi_group.h"

namespace uhd {

// Sums do not go through MPI_Allreduce, whose order of additions is the library's: MPI moves bytes, and the
// ranks add them up in rank order, in f32, rounded once. So all ranks hold the same bits, at every size, on
// every run, and the same bits as LocalCommunicator. For small tensors, ranks all-gather and each adds
// everything (one exchange). For large ones, every rank adds its part and then they all-gather (the bytes of
// a ring).
std::unique_ptr<Communicator> make_mpi_communicator(MpiGroup group);

// Returns a group of one, which has nothing to do.
std::unique_ptr<Communicator> make_single_communicator();

}  // namespace uhd
