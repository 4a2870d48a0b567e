#include "kernels/backend.h"

#include "kernels/cpu/backend.h"

namespace uhd {

DeviceBuffer::~DeviceBuffer() {
  if (owner_ != nullptr) owner_->release(data_, bytes_);
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  require(options.threads >= 0 && options.threads <= 1024, "a backend has 0 to 1024 threads, not ",
          options.threads);
  if (options.kind == "cpu" || options.kind == "auto") return std::make_unique<cpu::Backend>(options);
  require(options.kind != "cuda", "this build has no CUDA backend");
  throw Error(message("unknown backend '", options.kind, "'; there is: cpu, cuda, auto"));
}

}  // namespace uhd
