#include "app/run_as_rank.h"

#include "base/error.h"
#include "base/log.h"

namespace uhd {

void run_as_rank(const std::function<void(World&)>& part) {
  World world;
  if (world.size() > 1) set_log_name(message("rank", world.rank()));
  try {
    part(world);
  } catch (const std::exception& e) {
    if (world.size() > 1) print_error(message("uhd: rank ", world.rank(), ": ", e.what()));
    throw;
  }
}

}  // namespace uhd
