#include "kernels/backend.h"

namespace uhd {

DeviceBuffer::~DeviceBuffer() {
  if (owner_ != nullptr) owner_->release(data_, bytes_);
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  throw Error(message("backend '", options.kind, "' is not part of this build"));
}

}  // namespace uhd
