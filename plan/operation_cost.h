// The least an operation of Backend has to do: products and memory traffic, and from them the time below
// which no kernel can be. Pure functions; nothing here was measured.
//
// Bytes count every operand once, as if what is read twice came from a cache and nothing stayed in one from
// an earlier operation. Activations have `element` bytes (bf16: 2).
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

// Figures of the maker's data sheet.
struct DeviceRoof {
  const char* name;
  double bf16_flops;    // dense, a second
  double memory_speed;  // bytes a second
  double memory;        // bytes
  double link_speed;    // bytes a second one way, to the other devices of its node
  int processors;       // multiprocessors
};
std::span<const DeviceRoof> known_devices();  // H100, H200, A100, L40S

// The longer of computing and moving.
double roof_seconds(const Cost& cost, const DeviceRoof& device);

// out [T,N] of x [T,K] and a weight of `weight_bytes` bytes an element; `added`: out is read as well.
Cost matmul_cost(double t, double n, double k, double weight_bytes, double element, bool added = false);
// Operations that pass over rows: `reads` and `writes` rows of `width` elements for each of `rows`.
Cost rows_cost(double rows, double width, double reads, double writes, double element);

// `queries` rows, the last ones of `keys` tokens.
struct AttentionSpan {
  int64_t queries = 0;
  int64_t keys = 0;
};
// Causal; pages of `element` bytes. Sequences that decode are one launch and its merge, prompts one launch.
Cost paged_attention_cost(std::span<const AttentionSpan> spans, double heads, double kv_heads, double d,
                          double element);
// Every query of a segment sees all its keys.
Cost packed_attention_cost(std::span<const AttentionSpan> segments, double heads, double d, double element);

// A ring: each device sends and receives 2 (ranks − 1) / ranks of the bytes. Latency is not in it.
double all_reduce_seconds(double bytes, int ranks, const DeviceRoof& device);

}  // namespace uhd
