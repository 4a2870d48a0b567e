#include "cluster/launch/device_group.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string_view>

#include "base/log.h"
#include "cluster/host/staged_communicator.h"
#include "cluster/nccl/plugin.h"
#include "kernels/plugin.h"

namespace uhd {
namespace {

constexpr size_t kNameBytes = 64;
constexpr size_t kIdBytes = 256;

// Every rank's name of its device; empty where it has no transport.
std::vector<std::string> everyones_devices(Communicator& host, const std::string& mine) {
  check(mine.size() < kNameBytes, "a device's name of ", mine.size(), " bytes");
  std::array<uint8_t, kNameBytes> own{};
  std::memcpy(own.data(), mine.data(), mine.size());
  std::vector<uint8_t> all(kNameBytes * static_cast<size_t>(host.size()));
  const auto bytes = static_cast<int64_t>(kNameBytes);
  host.all_gather(Tensor::of(all.data(), {host.size(), bytes}), Tensor::of(own.data(), {bytes}));
  std::vector<std::string> names;
  for (size_t at = 0; at < all.size(); at += kNameBytes) {
    names.emplace_back(reinterpret_cast<const char*>(all.data()) + at);
  }
  return names;
}

// Returns why this group cannot use its transport, or an empty text if it can.
std::string obstacle(const std::vector<std::string>& devices) {
  if (std::find(devices.begin(), devices.end(), "") != devices.end())
    return "a rank of the group has no NCCL";
  const std::set<std::string> different(devices.begin(), devices.end());
  return different.size() == devices.size() ? "" : "ranks of the group share a device";
}

TransportId agreed_id(Communicator& host, DeviceTransport& transport) {
  std::array<uint8_t, kIdBytes> bytes{};
  if (host.rank() == 0) {
    const TransportId id = transport.new_id();
    check(id.size() < kIdBytes, "an id of ", id.size(), " bytes");
    bytes[0] = static_cast<uint8_t>(id.size());
    std::copy(id.begin(), id.end(), bytes.begin() + 1);
  }
  host.broadcast(Tensor::of(bytes.data(), {static_cast<int64_t>(kIdBytes)}), 0);
  return {bytes.begin() + 1, bytes.begin() + 1 + bytes[0]};
}

}  // namespace

std::shared_ptr<DeviceTransport> open_device_transport(Backend& backend) {
  if (backend.host_memory()) return nullptr;
  const auto* plugin = static_cast<const NcclPlugin*>(find_in_cuda_plugin("uhd_nccl_plugin"));
  if (plugin == nullptr || std::string_view(plugin->interface) != UHD_TRANSPORT_INTERFACE) {
    log_warning("the CUDA backend of this build has no transport of its own");
    return nullptr;
  }
  try {
    return plugin->open(backend);
  } catch (const Error& e) {
    log_info("no transport between devices", "reason", e.what());
    return nullptr;
  }
}

std::unique_ptr<Communicator> device_group(Backend& backend, DeviceTransport* transport,
                                           std::unique_ptr<Communicator> host,
                                           const ClusterOptions& options) {
  if (backend.host_memory()) return host;
  if (host->size() == 1) return make_staged_communicator(backend, std::move(host));
  const std::string mine = transport == nullptr ? "" : transport->device();
  const std::string reason = obstacle(everyones_devices(*host, mine));
  if (transport == nullptr || !reason.empty()) {
    if (host->rank() == 0) {
      log_warning("collectives go by way of the host, which is slow", "reason", reason, "ranks",
                  host->size());
    }
    return make_staged_communicator(backend, std::move(host));
  }
  const TransportId id = agreed_id(*host, *transport);
  return transport->communicator(id, host->rank(), host->size(), options);
}

}  // namespace uhd
