// Sums over the ranks of one host through memory that each of them may address: the one-shot and two-shot
// all-reduce that vLLM (custom_all_reduce.cuh) and TensorRT-LLM (customAllReduceKernels.cu) have for messages
// too small for NCCL's rings. In a one-shot sum every rank reads everyone's values and sums all of them. In a
// two-shot sum every rank sums its share, then reads the others' shares (reduce-scatter and all-gather).
//
// A block is a channel of its own: block b of a rank has a place for its part of the values, and flags, and
// meets block b of the other ranks and nobody else. So blocks need no order among themselves. They do need to
// run at the same time as their counterparts, and kChannels of them fit on any device the backend is for.
//
// Two meetings take turns in a channel, counted by an epoch that the device keeps, so that a call may be part
// of a graph and be launched any number of times:
//
//   epoch + 1  everyone has put its values into its place;
//   epoch + 2  everyone has put its sums there (two-shot; a one-shot call passes it by).
//
// The place has two halves, used by turns: a rank that writes to a half has met everyone since that half was
// read.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace uhd::cuda {

constexpr int kMostPeers = 8;
constexpr int kChannels = 32;
constexpr size_t kChannelBytes = size_t{64} << 10;
constexpr size_t kMostSummedBytes = kChannels * kChannelBytes;  // 2 MiB

struct alignas(128) PeerChannel {
  uint32_t came[kMostPeers];  // [r]: the epoch that the channel of rank r has reached; written by r
  uint32_t epoch;             // the rank's own epoch, behind its last call
};

struct PeerFlags {
  PeerChannel channels[kChannels];
  uint32_t left[kMostPeers];  // [rank]: not 0 once it reads no more; between hosts, no kernel looks
};

// A PeerBuffer is the memory that a rank lets the others address.
struct PeerBuffer {
  PeerFlags flags;
  alignas(128) unsigned char halves[2][kChannels][kChannelBytes];
};

// Epochs begin a few calls before they wrap, so that every run passes there.
constexpr uint32_t kFirstEpoch = 0u - 16;
// Sets the flags to their values before the first call; the rest of the buffer needs no values.
void fill_flags(PeerFlags& host);

struct Peers {
  PeerBuffer* of[kMostPeers];  // [rank]: its buffer, as this device addresses it
  int rank;
  int size;
  uint64_t limit_ns;  // the limit of a wait for one peer
  // This lies in the host's memory. It is 0 until the group has ended; then the host has set kEndedByHost, or
  // a kernel whose limit passed has set 1 + the rank that did not come. From then on no kernel waits any
  // more, and sums are worth nothing.
  uint32_t* ended;
};
constexpr uint32_t kEndedByHost = 0xffffffffu;

enum class Shots { one, two };
// Follows vLLM's rule: with two ranks both forms move the same bytes, with more one-shot moves size / 2 times
// as many.
Shots usual_shots(size_t bytes, int ranks);

// Sets x to the sum of every rank's x, in rank order, in f32, rounded once: the bits are the same in either
// form and on every rank. x is dense f32 or bf16 of at most kMostSummedBytes. Every rank calls it with the
// same number of elements, type and form, in the same order; x need not be aligned alike.
void sum_over_peers(cudaStream_t stream, Tensor x, const Peers& peers, Shots shots);

}  // namespace uhd::cuda
