// Runs a command that may be one of several ranks.
#pragma once

#include <functional>

#include "cluster/launch/world.h"

namespace uhd {

// Makes the World and runs this rank's part in it. A part that fails is told here, with its rank, because the
// end of the World then ends the whole job before main() could say why.
void run_as_rank(const std::function<void(World&)>& part);

}  // namespace uhd
