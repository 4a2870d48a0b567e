// Writes what Prometheus' clients tell of a process, and which build of the program it is.
#pragma once

#include <string>

namespace uhd {

// Returns process_cpu_seconds_total, process_resident_memory_bytes and so on of this process, as far as the
// system tells them, and uhd_build_info, as Prometheus text.
std::string process_metrics();

}  // namespace uhd
