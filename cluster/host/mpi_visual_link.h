// Sends rows over MPI, between two ranks of one job.
#pragma once

#include <memory>

#include "cluster/host/mpi_group.h"
#include "cluster/visual_link.h"

namespace uhd {

// The group spans both ranks and carries nothing but rows. Making a link calls no MPI; begin() and poll() do.
// The receiving end drops rows of jobs that an earlier link to the same peer gave up.
std::unique_ptr<VisualLink> make_mpi_sender(MpiGroup group, int peer);
std::unique_ptr<VisualLink> make_mpi_receiver(MpiGroup group, int peer);

}  // namespace uhd
