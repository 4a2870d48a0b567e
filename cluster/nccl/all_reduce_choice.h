// Up to which size a group sums by IPC, decided by looking: are its sums right here, and is it faster?
#pragma once

#include <functional>
#include <span>
#include <string>

#include "cluster/nccl/peer_memory.h"

namespace uhd {

// Of one sum, in a row of them; the slowest rank's.
struct SumTiming {
  size_t bytes = 0;
  float nccl_us = 0;
  float ipc_us = 0;
};

// The largest size such that IPC took less at it and at every smaller size measured; 0 if at none. Timings
// ascend.
size_t ipc_limit(std::span<const SumTiming> timings);
// "8 KiB 11.2/5.0, 2 MiB 30.1/44.0": NCCL's and IPC's microseconds.
std::string words(std::span<const SumTiming> timings);

// What sums a tensor on the backend's stream.
using Summing = std::function<void(Tensor)>;

// Whether sums of known whole numbers come out exactly, in both types, at sizes of both forms, many in a row.
// No proof that they always will: a first look at this machine. Collective; the same on every rank.
bool sums_are_right(cuda::Backend& backend, int rank, int size, const Summing& sum, const Exchange& exchange);

// Both ways at a few sizes, in a recorded graph where the backend records, as decode steps use them.
// Collective; the same on every rank.
std::vector<SumTiming> time_sums(cuda::Backend& backend, const Summing& nccl, const Summing& ipc,
                                 const Exchange& exchange);

}  // namespace uhd
