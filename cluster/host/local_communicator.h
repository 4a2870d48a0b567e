// The ranks of a group as threads of one process: tests, and tensor parallelism without MPI.
#pragma once

#include <memory>
#include <vector>

#include "cluster/communicator.h"

namespace uhd {

// One communicator a rank, each used by a thread of its own, on host memory. Sums are in rank order, in f32,
// rounded once. A rank whose communicator is destroyed while others wait for it fails them with an Error.
std::vector<std::unique_ptr<Communicator>> make_local_communicators(int size);

}  // namespace uhd
