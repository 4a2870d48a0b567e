// Runs ranks as threads, each with an emulated device of its own and NCCL's stand-in between them.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "cluster/nccl/api.h"
#include "cluster/nccl/communicator.h"
#include "emulation/streams.h"

namespace uhd {

constexpr NcclLimits kPatient{.meet = std::chrono::seconds(60), .wait = std::chrono::seconds(60)};

inline TransportId new_id() {
  ncclUniqueId id;
  check_nccl(nccl().get_unique_id(&id), "making an id");
  const auto* bytes = reinterpret_cast<const uint8_t*>(&id);
  return {bytes, bytes + sizeof(id)};
}

inline BackendOptions device(int number) {
  return {.kind = "cuda", .device = number, .compute = WeightFormat::f32};
}

// Calls act(rank, backend, id) on a thread of each rank.
template <class F>
void on_each_device(int size, const F& act) {
  emulation::set_devices(8);
  const TransportId id = new_id();
  std::vector<std::jthread> ranks;
  for (int r = 0; r < size; ++r) {
    ranks.emplace_back([&, r] {
      cuda::Backend backend(device(r));
      act(r, backend, id);
    });
  }
}

// Returns the text of the Error that `act` throws, or "".
template <class F>
std::string thrown(const F& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace uhd
