#include "tests/cuda/cuda_emulation.h"
#include "tests/cuda/device_control.h"

namespace uhd {

std::vector<std::string> device_orders() { return {"forward", "reverse", "shuffled", "run_ahead"}; }

void choose_device_order(const std::string& order) {
  using emulation::LaneOrder;
  emulation::set_lane_order(order == "reverse"     ? LaneOrder::reverse
                            : order == "shuffled"  ? LaneOrder::shuffled
                            : order == "run_ahead" ? LaneOrder::run_ahead
                                                   : LaneOrder::forward,
                            20240311);
}

bool device_recovers() { return true; }
void recover_device() { emulation::clear_failure(); }

}  // namespace uhd
