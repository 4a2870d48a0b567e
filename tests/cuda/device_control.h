// Controls the device that tests run on: the emulated one obeys; a real one has one order and does not
// recover.
#pragma once

#include <string>
#include <vector>

namespace uhd {

std::vector<std::string> device_orders();
void choose_device_order(const std::string& order);
bool device_recovers();  // returns true if a device works on after a kernel failed
void recover_device();

}  // namespace uhd
