#include <cuda_runtime.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "cluster/nccl/api.h"
#include "cluster/nccl/communicator.h"
#include "cluster/nccl/link.h"
#include "cluster/nccl/plugin.h"
#include "kernels/cuda/check.h"

namespace uhd {
namespace {

constexpr Duration kMeetLimit = std::chrono::seconds(30);  // of a link
// NCCL keeps a thread and a socket for each id until its ranks have met, and if they never do for ever. More
// than the encoders that may join at once.
constexpr int kMostUnmet = 300;

std::string hex(const cudaUUID_t& uuid) {
  std::string text;
  for (const char byte : uuid.bytes) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x",
                  static_cast<unsigned>(static_cast<unsigned char>(byte)));
    text += digits.data();
  }
  return text;
}

std::string device_of(const cuda::Backend& backend) {
  backend.stream();  // the device becomes this thread's
  int device = 0;
  cudaDeviceProp properties{};
  cuda::check_cuda(cudaGetDevice(&device), "asking for the device");
  cuda::check_cuda(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
  return hex(properties.uuid);
}

class NcclTransport final : public DeviceTransport {
 public:
  explicit NcclTransport(cuda::Backend& backend)
      : backend_(backend),
        version_("NCCL " + nccl().version),
        device_(device_of(backend)),
        warm_(backend.allocate(sizeof(float))) {
    // No order of launches is asked of NCCL between group and links: two communicators that meet on a device
    // have no other rank in common, so no two of them can wait for each other. The environment's choice
    // stays.
    const char* order = std::getenv("NCCL_LAUNCH_ORDER_IMPLICIT");
    log_info("devices talk by NCCL", "version", nccl().version, "launch_order",
             order == nullptr || std::string_view(order) == "0" ? "free" : "one for all communicators");
  }

  std::string version() const override { return version_; }
  std::string device() const override { return device_; }

  TransportId new_id() override {
    require(*unmet_ < kMostUnmet, "NCCL: ", kMostUnmet, " links were begun and never met; no more are made");
    ncclUniqueId id;
    check_nccl(nccl().get_unique_id(&id), "making an id");
    ++*unmet_;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&id);
    return {bytes, bytes + sizeof(id)};
  }

  std::unique_ptr<Communicator> communicator(const TransportId& id, int rank, int size,
                                             const ClusterOptions& options) override {
    const Duration step = from_seconds(options.step_deadline_s);
    auto group =
        make_nccl_communicator(backend_, id, rank, size, {.wait = step}, {options.ipc_all_reduce, step});
    if (rank == 0) --*unmet_;
    return group;
  }
  std::unique_ptr<VisualLink> receiver(const TransportId& id) override {
    return make_nccl_link(backend_, warm(), id, LinkEnd::receives, kMeetLimit,
                          [unmet = unmet_] { --*unmet; });
  }
  std::unique_ptr<VisualLink> sender(const TransportId& id) override {
    return make_nccl_link(backend_, warm(), id, LinkEnd::sends, kMeetLimit);
  }

 private:
  Tensor warm() const { return warm_.as(DType::f32, {1, 1}); }

  cuda::Backend& backend_;
  const std::string version_;
  const std::string device_;
  const DeviceBuffer warm_;
  const std::shared_ptr<std::atomic<int>> unmet_ = std::make_shared<std::atomic<int>>(0);  // ids
};

std::shared_ptr<DeviceTransport> open_transport(Backend& backend) {
  return std::make_shared<NcclTransport>(dynamic_cast<cuda::Backend&>(backend));
}

}  // namespace
}  // namespace uhd

extern "C" const uhd::NcclPlugin uhd_nccl_plugin = {UHD_TRANSPORT_INTERFACE, uhd::open_transport};
