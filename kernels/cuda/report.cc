// Reports the machine for `uhd check --backend cuda`.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include "base/bytes_text.h"
#include "kernels/cuda/check.h"
#include "kernels/plugin.h"

namespace uhd::cuda {
namespace {

std::string version(int number) { return message(number / 1000, '.', number % 1000 / 10); }

// Returns the devices whose memory `device` can read and write directly.
std::string peers_of(int device, int count) {
  std::string peers;
  for (int other = 0; other < count; ++other) {
    int reaches = 0;
    if (other == device) continue;
    check_cuda(cudaDeviceCanAccessPeer(&reaches, device, other), "asking for peer access");
    if (reaches != 0) peers += message(peers.empty() ? "" : ", ", other);
  }
  return count == 1 ? "" : "; reaches the memory of " + (peers.empty() ? "no other" : peers);
}

std::vector<std::pair<std::string, std::string>> report() {
  int driver = 0, runtime = 0, count = 0;
  check_cuda(cudaDriverGetVersion(&driver), "asking for the driver");
  check_cuda(cudaRuntimeGetVersion(&runtime), "asking for the runtime");
  check_cuda(cudaGetDeviceCount(&count), "counting devices");
  std::vector<std::pair<std::string, std::string>> rows;
  rows.emplace_back("driver", "for CUDA " + version(driver));
  rows.emplace_back("runtime", "CUDA " + version(runtime));
  rows.emplace_back("cuBLASLt", message(cublasLtGetVersion()));
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, i), "asking for a device's properties");
    rows.emplace_back(message("device ", i),
                      message(p.name, ", sm_", p.major, p.minor, ", ", p.multiProcessorCount,
                              " multiprocessors, ", bytes_text(p.totalGlobalMem), peers_of(i, count)));
  }
  return rows;
}

}  // namespace
}  // namespace uhd::cuda

extern "C" const uhd::CudaReport uhd_cuda_report = {uhd::cuda::report};
