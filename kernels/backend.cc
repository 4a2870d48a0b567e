#include "kernels/backend.h"

#include "base/log.h"
#include "kernels/contracts.h"
#include "kernels/cpu/backend.h"
#include "kernels/plugin.h"

namespace uhd {

DeviceBuffer::~DeviceBuffer() {
  if (owner_ != nullptr) owner_->release(data_, bytes_);
}

void Backend::upload(Tensor device, Tensor host) {
  contracts::upload(device, host);
  do_upload(device, host);
}

void Backend::download(Tensor host, Tensor device) {
  contracts::download(host, device);
  do_download(host, device);
}

Weight Backend::pack(Tensor host, WeightFormat format, Tensor whole) {
  contracts::pack(host, whole);
  return do_pack(host, format, whole);
}

Weight Backend::pack_parts(std::span<const Tensor> parts, WeightFormat format, int64_t rows) {
  contracts::pack_parts(parts, rows);
  return do_pack_parts(parts, format, rows);
}

Weight Backend::do_pack_parts(std::span<const Tensor>, WeightFormat format, int64_t) {
  throw Error(message("parts of a weight in ", name_of(format), " are not packed by ", description()));
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  require(options.threads >= 0 && options.threads <= 1024, "backend.threads is ", options.threads,
          "; it can be from 0 to 1024");
  if (options.kind == "cuda") return make_cuda_backend(options);
  if (options.kind == "auto") {
    try {
      return make_cuda_backend(options);
    } catch (const Error& error) {
      log_info("the CPU is used", "because", error.what());
    }
  }
  require(options.kind == "cpu" || options.kind == "auto", "backend.kind is '", options.kind,
          "'; it can be: cpu, cuda, auto");
  return std::make_unique<cpu::Backend>(options);
}

}  // namespace uhd
