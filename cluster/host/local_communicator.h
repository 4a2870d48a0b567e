// Makes groups whose ranks are threads of one process, for tests and for tensor parallelism without MPI.
#pragma once

#include <memory>
#include <vector>

#include "cluster/communicator.h"

namespace uhd {

// Returns one communicator for each rank, each to be used by a thread of its own, on host memory. Sums are in
// rank order, in f32, rounded once. A rank whose communicator is destroyed while others wait for it fails
// them with an Error.
std::vector<std::unique_ptr<Communicator>> make_local_communicators(int size);

}  // namespace uhd
