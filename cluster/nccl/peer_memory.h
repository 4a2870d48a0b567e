// A PeerMemory is a buffer on the device of every rank of a group that all of them can address. It uses CUDA
// IPC between processes of one host, and peer access between threads of one process, which may not open their
// own process's memory.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/backend.h"

namespace uhd {

// An Exchange takes this rank's bytes and returns every rank's in rank order. It is collective; all ranks
// pass equally many bytes.
using Exchange = std::function<std::vector<std::byte>(std::span<const std::byte>)>;

// A PeerCard tells the others where a rank's buffer is.
struct PeerCard {
  std::array<char, 40> machine{};  // names one boot of one host
  uint64_t process = 0;
  int32_t device = 0;  // its number in that process
  uint64_t address = 0;
  cudaIpcMemHandle_t handle{};
};

// Returns why ranks with these cards cannot address each other's memory, or "" if they may try.
std::string peer_obstacle(std::span<const PeerCard> cards);

class PeerMemory {
 public:
  // `own` holds the bytes that the others may see: 64 KiB or more, and never a part of memory that a rank
  // took in one piece, because IPC hands out whole allocations from their first byte. It is kept until the
  // process ends, because another rank may have it open. The constructor is collective over the group and
  // returns when every rank has tried to reach every buffer.
  PeerMemory(cuda::Backend& backend, cuda::DeviceMemory own, int rank, const Exchange& exchange);
  // Gives up the others' buffers; no work queued here may use them any more.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Returns why a rank of the group does not reach another's buffer, or "" if all do. The answer is the same
  // on every rank.
  const std::string& obstacle() const { return obstacle_; }
  void* of(int rank) const { return addresses_.at(static_cast<size_t>(rank)); }

 private:
  std::string open(std::span<const PeerCard> cards, int rank);

  cuda::Backend& backend_;
  cuda::DeviceMemory& own_;
  std::vector<void*> addresses_;
  std::vector<void*> opened_;  // opened by IPC
  std::string obstacle_;
};

}  // namespace uhd
