#include "plan/operation_cost.h"

#include <algorithm>

namespace uhd {

std::span<const DeviceRoof> known_devices() {
  // These are SXM forms, except the L40S, whose link is PCIe 4.0 x16.
  static constexpr DeviceRoof kDevices[] = {
      {"H100", 989.4e12, 3.35e12, 80e9, 450e9, 132},
      {"H200", 989.4e12, 4.8e12, 141e9, 450e9, 132},
      {"A100", 312e12, 2.039e12, 80e9, 300e9, 108},
      {"L40S", 362e12, 0.864e12, 48e9, 32e9, 142},
  };
  return kDevices;
}

double roof_seconds(const Cost& cost, const DeviceRoof& device) {
  return std::max(cost.flops / device.bf16_flops, cost.bytes / device.memory_speed);
}

Cost matmul_cost(double t, double n, double k, double weight_bytes, double element, bool added) {
  return {2 * t * n * k, n * k * weight_bytes + t * (k + (added ? 2 : 1) * n) * element, 1};
}

Cost rows_cost(double rows, double width, double reads, double writes, double element) {
  return {0, rows * width * (reads + writes) * element, 1};
}

Cost paged_attention_cost(std::span<const AttentionSpan> spans, double heads, double kv_heads, double d,
                          double element) {
  Cost cost;
  bool decode = false, prompt = false;
  for (const AttentionSpan& s : spans) {
    const auto queries = static_cast<double>(s.queries), keys = static_cast<double>(s.keys);
    const double seen = queries * keys - queries * (queries - 1) / 2;  // pairs of a query and a key
    cost.flops += 4 * seen * heads * d;
    cost.bytes += (2 * keys * kv_heads + 2 * queries * heads) * d * element;
    (s.queries == 1 ? decode : prompt) = true;
  }
  cost.launches = (decode ? 2 : 0) + (prompt ? 1 : 0);
  return cost;
}

Cost packed_attention_cost(std::span<const AttentionSpan> segments, double heads, double d, double element) {
  Cost cost{.launches = segments.empty() ? 0.0 : 1.0};
  for (const AttentionSpan& s : segments) {
    const auto queries = static_cast<double>(s.queries), keys = static_cast<double>(s.keys);
    cost.flops += 4 * queries * keys * heads * d;
    cost.bytes += 2 * (queries + keys) * heads * d * element;
  }
  return cost;
}

double all_reduce_seconds(double bytes, int ranks, const DeviceRoof& device) {
  return ranks <= 1 ? 0 : 2.0 * (ranks - 1) / ranks * bytes / device.link_speed;
}

}  // namespace uhd
