#include "emulation/cuda.h"
#include "tests/cuda/device_control.h"

namespace uhd {

std::vector<std::string> device_orders() { return {"forward", "reverse", "shuffled", "run_ahead"}; }

void choose_device_order(const std::string& order) {
  emulation::set_lane_order(emulation::order_named(order), 20240311);
}

bool device_recovers() { return true; }
void recover_device() { emulation::clear_failure(); }

}  // namespace uhd
