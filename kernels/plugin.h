// The CUDA backend is a library of its own, libuhd_cuda.so, so that one program runs with and without a
// driver.
//
// The library does not carry kernels/ and base/ a second time: the program exports its symbols
// (ENABLE_EXPORTS) and the library leaves them undefined, so that there is one Error, one DeviceBuffer and
// one log. It is found next to the program or in ../lib, through the program's RUNPATH, and stays loaded.
// Both sides state the headers they were built with; a library of another build is refused.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"

namespace uhd {

// The library exports this as `uhd_cuda_plugin`.
struct CudaPlugin {
  const char* interface;  // UHD_BACKEND_INTERFACE: the digest of the headers that both sides share
  std::unique_ptr<Backend> (*make_backend)(const BackendOptions& options);
};

// The library exports this as `uhd_cuda_report`: names and values of versions and devices.
struct CudaReport {
  std::vector<std::pair<std::string, std::string>> (*rows)();
};

// Makes the backend. If the library, its libraries, a driver or a device is missing, an Error says which in
// one line.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);

// Returns another symbol that the library exports, for cluster/; null if the library is not loaded or has no
// such symbol.
const void* find_in_cuda_plugin(const char* name);

}  // namespace uhd
