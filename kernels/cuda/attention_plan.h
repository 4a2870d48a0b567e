// Cuts attention on tensor cores: into tiles of keys, splits over blocks for decoding sequences, and slots
// for FlashInfer. These are pure functions for host and device.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#ifndef UHD_DEVICE_FUNCTION
#define UHD_DEVICE_FUNCTION
#endif

namespace uhd::cuda {

constexpr int kTileKeys = 64;
constexpr int kLargestTileHead = 128;

// Returns the elements from one row of a tile to the next: an odd number of 16-byte units, so that the eight
// rows of an 8x8 matrix lie in different banks.
UHD_DEVICE_FUNCTION constexpr int tile_stride(int d) { return d + 8; }
// Returns the shared memory of a block: two stages of keys and values in bf16. At a head of 128 these are 68
// KiB, so that two blocks fit a multiprocessor of an H100 or A100, and one fits an L40S.
constexpr size_t tile_bytes(int d) { return size_t{4} * kTileKeys * static_cast<size_t>(tile_stride(d)) * 2; }

// A sequence with at most this many query rows per key head (tokens x query heads of the group) is attended
// by blocks that share its keys; one with more, by blocks that share its rows.
constexpr int kSplitRows = 16;
constexpr int kLeastSplitKeys = 256;
constexpr int kMostSplits = 64;
constexpr int kMostBlocksPerProcessor = 2;

// Returns the blocks of `shared_bytes` that a device runs at once. A multiprocessor has 1 KiB more than a
// block may ask for, and keeps 1 KiB for each.
constexpr int blocks_at_once(int processors, int most_shared_bytes, size_t shared_bytes) {
  constexpr size_t kReserved = 1024;
  const size_t fit = (static_cast<size_t>(most_shared_bytes) + kReserved) / (shared_bytes + kReserved);
  return processors * static_cast<int>(std::clamp<size_t>(fit, 1, kMostBlocksPerProcessor));
}

// Returns the splits of the longest sequence: as many blocks as the device runs at once without a second
// wave, but a block keeps at least kLeastSplitKeys keys. It is a function of its arguments only, so that a
// captured step may be replayed for any lengths up to max_kv.
constexpr int decode_splits(int64_t sequences, int64_t kv_heads, int64_t max_kv, int at_once) {
  const int64_t blocks = std::max<int64_t>(1, sequences * kv_heads);
  const int64_t room = at_once / blocks;
  const int64_t worth = (max_kv + kLeastSplitKeys - 1) / kLeastSplitKeys;
  return static_cast<int>(std::clamp<int64_t>(std::min(room, worth), 1, kMostSplits));
}

// Returns the keys of one split of a sequence, a multiple of `tile`; splits beyond the end of a short one
// have none.
UHD_DEVICE_FUNCTION constexpr int split_keys(int keys, int splits, int tile) {
  const int tiles = (keys + tile - 1) / tile;
  const int each = (tiles + splits - 1) / splits;
  const int least = kLeastSplitKeys / tile;
  return (each > least ? each : least) * tile;
}

// Returns the floats of one split's result: sums [16, d], maxima [16], totals [16].
UHD_DEVICE_FUNCTION constexpr int64_t partial_floats(int64_t d) { return kSplitRows * (d + 2); }

// Returns enough for any step: splits are only made if all of them fit on the device at once.
constexpr size_t split_scratch_bytes(int at_once, int64_t largest_d) {
  return static_cast<size_t>(at_once) * static_cast<size_t>(partial_floats(largest_d)) * sizeof(float);
}

// FlashInfer's blocks take `tile` rows of one sequence and key head. The shape of the step alone counts their
// slots in the grid: a sequence whose first token is row `token` of q begins at this slot, and never needs
// more slots than lie between its slot and the next sequence's. The end is the slot of one more sequence.
constexpr int kFlashInferTile = 128;
UHD_DEVICE_FUNCTION constexpr int64_t first_slot(int64_t sequence, int64_t token, int64_t group,
                                                 int64_t tile) {
  return token * group / tile + sequence;
}

// These return the memory of a plan (flashinfer_plan.h), and the part of it that is held from the start.
constexpr size_t plan_bytes(int64_t sequences, int64_t slots) {
  return static_cast<size_t>(4 * (sequences + 2 + 3 * slots) + slots);
}
constexpr size_t kPlanBytes = size_t{1} << 20;

}  // namespace uhd::cuda
