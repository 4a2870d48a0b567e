// A buffer on the device of every rank of a group that all of them can address: CUDA IPC between processes of
// one host, peer access between threads of one process, which may not open their own process's memory.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/backend.h"

namespace uhd {

// Collective: every rank's bytes in rank order, for this rank's; all have equally many.
using Exchange = std::function<std::vector<std::byte>(std::span<const std::byte>)>;

// Where a rank's buffer is, as the others are told.
struct PeerCard {
  std::array<char, 40> machine{};  // names one boot of one host
  uint64_t process = 0;
  int32_t device = 0;  // its number in that process
  uint64_t address = 0;
  cudaIpcMemHandle_t handle{};
};

// Why ranks with these cards cannot address each other's memory; "" if they may try.
std::string peer_obstacle(std::span<const PeerCard> cards);

class PeerMemory {
 public:
  // `own` holds what the others may see: 64 KiB or more, never a part of what a rank took in one piece,
  // because IPC hands out whole allocations, from their first byte. It is kept until the process ends, since
  // another rank may have it open. Collective over the group; returns when every rank has tried to reach
  // every buffer.
  PeerMemory(cuda::Backend& backend, cuda::DeviceMemory own, int rank, const Exchange& exchange);
  // Gives up the others' buffers: no work queued here may use them any more.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Why a rank of the group does not reach another's buffer; "" if all do. The same on every rank.
  const std::string& obstacle() const { return obstacle_; }
  void* of(int rank) const { return addresses_.at(static_cast<size_t>(rank)); }

 private:
  std::string open(std::span<const PeerCard> cards, int rank);

  cuda::Backend& backend_;
  cuda::DeviceMemory& own_;
  std::vector<void*> addresses_;
  std::vector<void*> opened_;  // by IPC
  std::string obstacle_;
};

}  // namespace uhd
