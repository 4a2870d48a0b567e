// A test program under mpirun has this one World.
#pragma once

#include "cluster/launch/world.h"

namespace uhd {

World& test_world();

}  // namespace uhd
