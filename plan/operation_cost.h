// Counts the least work of an operation of Backend: products and memory traffic, and from them the time that
// no kernel can beat. These are pure functions; nothing here was measured.
//
// Bytes count every operand once, as if a second read came from a cache, and as if nothing stayed in a cache
// from an earlier operation. Activations have `element` bytes (bf16: 2).
#pragma once

#include <cstdint>
#include <span>

namespace uhd {

struct Cost {
  double flops = 0;  // a multiply-add is two
  double bytes = 0;
  double launches = 0;  // kernels on a GPU

  Cost& operator+=(const Cost& other) {
    flops += other.flops;
    bytes += other.bytes;
    launches += other.launches;
    return *this;
  }
  friend Cost operator*(double count, const Cost& c) {
    return {count * c.flops, count * c.bytes, count * c.launches};
  }
};

// A DeviceRoof holds figures of the maker's data sheet.
struct DeviceRoof {
  const char* name;
  double bf16_flops;      // dense, a second
  double memory_speed;    // bytes a second
  double memory;          // bytes
  double link_speed;      // bytes a second one way, to the other devices of its node
  int processors;         // multiprocessors
  bool measured = false;  // measured on the device (uhd calibrate): times are expected ones, and no roofs
  bool host = false;      // the CPU with its memory
};
std::span<const DeviceRoof> known_devices();  // H100, H200, A100, L40S

// Returns the longer of computing and moving.
double roof_seconds(const Cost& cost, const DeviceRoof& device);

// Costs out [T,N] of x [T,K] and a weight of `weight_bytes` bytes an element; if `added` is true, out is read
// as well.
Cost matmul_cost(double t, double n, double k, double weight_bytes, double element, bool added = false);
// Costs operations that pass over rows: `reads` and `writes` rows of `width` elements for each of `rows`.
Cost rows_cost(double rows, double width, double reads, double writes, double element);

// An AttentionSpan has `queries` rows, the last ones of `keys` tokens.
struct AttentionSpan {
  int64_t queries = 0;
  int64_t keys = 0;
};
// Costs causal attention over pages of `element` bytes. Sequences that decode are one launch and its merge;
// prompts are one launch.
Cost paged_attention_cost(std::span<const AttentionSpan> spans, double heads, double kv_heads, double d,
                          double element);
// Costs attention in which every query of a segment sees all its keys.
Cost packed_attention_cost(std::span<const AttentionSpan> segments, double heads, double d, double element);

// Returns the time of a ring, in which each device sends and receives 2 (ranks − 1) / ranks of the bytes. It
// leaves out latency.
double all_reduce_seconds(double bytes, int ranks, const DeviceRoof& device);

}  // namespace uhd
