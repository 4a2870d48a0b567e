// The one World of a test program under mpirun.
#pragma once

#include "cluster/launch/world.h"

namespace uhd {

World& test_world();

}  // namespace uhd
