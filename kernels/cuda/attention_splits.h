// How the keys of decoding sequences are shared out over blocks. Pure functions; device code includes this
// after kernels/cuda/device.cuh.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#ifndef UHD_DEVICE_FUNCTION
#define UHD_DEVICE_FUNCTION
#endif

namespace uhd::cuda {

// A sequence with at most this many query rows per key head (tokens x query heads of the group) is attended
// by blocks that share its keys; one with more, by blocks that share its rows.
constexpr int kSplitRows = 16;
constexpr int kLeastSplitKeys = 256;
constexpr int kMostSplits = 64;
constexpr int kBlocksPerProcessor = 2;  // what shared memory holds of the largest head on every architecture

// Splits of the longest sequence: enough blocks for every multiprocessor and no second wave; a block keeps at
// least kLeastSplitKeys keys. A function of its arguments only, so that a captured step may be replayed for
// any lengths up to max_kv.
constexpr int decode_splits(int64_t sequences, int64_t kv_heads, int64_t max_kv, int processors) {
  const int64_t blocks = std::max<int64_t>(1, sequences * kv_heads);
  const int64_t room = int64_t{processors} * kBlocksPerProcessor / blocks;
  const int64_t worth = (max_kv + kLeastSplitKeys - 1) / kLeastSplitKeys;
  return static_cast<int>(std::clamp<int64_t>(std::min(room, worth), 1, kMostSplits));
}

// Keys of one split of a sequence, a multiple of `tile`: splits beyond the end of a short one have none.
UHD_DEVICE_FUNCTION constexpr int split_keys(int keys, int splits, int tile) {
  const int tiles = (keys + tile - 1) / tile;
  const int each = (tiles + splits - 1) / splits;
  const int least = kLeastSplitKeys / tile;
  return (each > least ? each : least) * tile;
}

// Floats of one split's result: sums [16, d], maxima [16], totals [16].
UHD_DEVICE_FUNCTION constexpr int64_t partial_floats(int64_t d) { return kSplitRows * (d + 2); }

// Enough for any step: splits are only made where all of them fit on the device at once.
constexpr size_t split_scratch_bytes(int processors, int64_t largest_d) {
  return static_cast<size_t>(processors) * kBlocksPerProcessor *
         static_cast<size_t>(partial_floats(largest_d)) * sizeof(float);
}

}  // namespace uhd::cuda
