// Finds the size up to which a group sums by IPC, by trying it: it checks whether IPC sums are right here and
// whether they are faster.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "cluster/nccl/peer_memory.h"

namespace uhd {

// A SumTiming gives the time of one sum within a row of sums, on the slowest rank.
struct SumTiming {
  size_t bytes = 0;
  float nccl_us = 0;
  float ipc_us = 0;
};

// Returns the largest size such that IPC took less time at it and at every smaller size measured; 0 if there
// is none. Timings ascend by size.
size_t ipc_limit(std::span<const SumTiming> timings);
// Returns NCCL's and IPC's microseconds as text: "8 KiB 11.2/5.0, 2 MiB 30.1/44.0".
std::string words(std::span<const SumTiming> timings);

// A Summing sums a tensor on the backend's stream.
using Summing = std::function<void(Tensor)>;

// Returns true if sums of known whole numbers come out exactly, in both types, at sizes of both forms, many
// in a row. This does not prove that they always will; it is a first look at this machine. The call is
// collective and returns the same on every rank.
bool sums_are_right(cuda::Backend& backend, int rank, int size, const Summing& sum, const Exchange& exchange);

// Times both ways at a few sizes, in a recorded graph if the backend records, as decode steps use them. The
// call is collective and returns the same on every rank.
std::vector<SumTiming> time_sums(cuda::Backend& backend, const Summing& nccl, const Summing& ipc,
                                 const Exchange& exchange);

}  // namespace uhd
