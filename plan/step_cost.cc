#include "plan/step_cost.h"

#include "kernels/quantize.h"
#include "model/vision/spatial_resampler.h"
#include "model/weights/parameters.h"
#include "model/weights/shard.h"

namespace uhd {
namespace {

constexpr double kElement = 2;  // bf16

double matrix_bytes(WeightFormat format, double n, double k) {
  return static_cast<double>(bytes_of(format, static_cast<int64_t>(n), static_cast<int64_t>(k)));
}
Cost matmul(double t, double n, double k, bool added = false, WeightFormat weights = WeightFormat::bf16) {
  return matmul_cost(t, n, k, matrix_bytes(weights, n, k) / (n * k), kElement, added);
}
Cost rows(double count, double width, double reads, double writes) {
  return rows_cost(count, width, reads, writes, kElement);
}

}  // namespace

Cost StepCost::total() const {
  Cost sum;
  for (const KernelCost& k : kernels) sum += k.count * k.each;
  return sum;
}

StepCost language_step_cost(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                            int ranks, WeightFormat weights) {
  const LanguageShard shard = shard_of(language, 0, ranks);
  double t = 0;
  for (const AttentionSpan& s : spans) t += static_cast<double>(s.queries);
  const double h = language.hidden, d = language.head_dim, i = shard.units;
  const double hq = shard.heads * d, hk = shard.kv_heads * d;
  const int layers = language.layers;
  StepCost step;
  step.ranks = ranks;
  step.kernels = {
      {"embed", 1, rows(t, h, 1, 1)},
      {"rms_norm", 1, rows(t, h, 1, 1)},
      {"qkv", layers, matmul(t, hq + 2 * hk, h, false, weights)},
      {"rope", layers, rows(t, hq + hk, 1, 1)},
      {"store_kv", layers, rows(t, 2 * hk, 1, 1)},
      {"paged_attention", layers, paged_attention_cost(spans, shard.heads, shard.kv_heads, d, kElement)},
      {"attention out", layers, matmul(t, h, hq, false, weights)},
      {"add_rms_norm", 2 * layers, rows(t, h, 2, 2)},
      {"gate_up", layers, matmul(t, 2 * i, h, false, weights)},
      {"silu_mul", layers, rows(t, i, 2, 1)},
      {"down", layers, matmul(t, h, i, false, weights)},
  };
  if (language.head_norms) step.kernels.push_back({"head_norm", layers, rows(t, hq + hk, 1, 1)});
  if (samples > 0) {
    step.kernels.push_back({"gather_rows", 1, rows(samples, h, 1, 1)});
    Cost logits = matmul(samples, shard.ids, h, false, head_format(weights));
    logits.bytes += samples * static_cast<double>(shard.ids) * (4 - kElement);  // f32
    step.kernels.push_back({"logits", 1, logits});
  }
  step.all_reduces = ranks > 1 ? 2 * layers + 1 : 0;
  step.all_reduce_bytes = t * h * kElement;
  return step;
}

StepCost vision_cost(const VisionConfig& vision, const ResamplerConfig& resampler, int language_hidden,
                     std::span<const PatchGrid> grids) {
  const double w = vision.hidden, heads = vision.heads, d = w / heads;
  const auto slices = static_cast<double>(grids.size());
  double p = 0;
  std::vector<AttentionSpan> segments;
  const int extra = vision.kind == VisionConfig::Kind::clip ? 1 : 0;  // class tokens
  for (const PatchGrid& grid : grids) {
    const int64_t n = grid.patches();
    p += static_cast<double>(n);
    segments.push_back({n + extra, n + extra});
  }
  const double t = p + slices * extra, pixels = 3.0 * vision.patch * vision.patch;
  StepCost step;
  const int layers = vision.layers;
  Cost patchify = rows(p, pixels, 0, 1);
  patchify.bytes += p * pixels;  // u8
  step.kernels = {
      {"patchify", 1, patchify},
      {"patch embedding", 1, matmul(p, w, pixels)},
      {"positions, class rows", 1, rows(t, w, 3, 2)},
      {"layer_norm", 2 * layers + extra + (vision.post_norm ? 1 : 0), rows(t, w, 1, 1)},
      {"qkv", layers, matmul(t, 3 * w, w)},
      {"packed_attention", layers, packed_attention_cost(segments, heads, d, kElement)},
      {"attention out", layers, matmul(t, w, w, true)},
      {"fc1", layers, matmul(t, vision.intermediate, w)},
      {"fc2", layers, matmul(t, w, vision.intermediate, true)},
      {"features", 1, rows(p, w, 1, 1)},
  };
  const double e = language_hidden;
  if (resampler.kind == ResamplerKind::mlp) {
    step.kernels.push_back({"resampler 1", 1, matmul(p, e, w)});
    step.kernels.push_back({"resampler 2", 1, matmul(p, e, e)});
    return step;
  }
  if (resampler.kind == ResamplerKind::pixel_shuffle) {
    const double squares = resampler.shuffle * resampler.shuffle;
    step.kernels.push_back({"gather_rows", 1, rows(p, w, 1, 1)});
    step.kernels.push_back({"connector", 1, matmul(p / squares, e, w * squares)});
    return step;
  }
  // Both resamplers: keys and values of the tower's width to the resampler's, a cross-attention, two
  // products.
  const double width = resampler.width, q = resampler.queries * slices;
  const bool spatial = resampler.kind == ResamplerKind::spatial;
  double keys = 0;
  std::vector<AttentionSpan> crossed;
  for (const PatchGrid& grid : grids) {
    const int64_t bins = bins_of(grid).patches();
    if (spatial)
      crossed.insert(crossed.end(), static_cast<size_t>(resampler.queries), {1, bins});
    else
      crossed.push_back({resampler.queries, grid.patches()});
    keys += static_cast<double>(spatial ? resampler.queries * bins : grid.patches());
  }
  Cost cross = packed_attention_cost(crossed, resampler.heads, width / resampler.heads, kElement);
  if (spatial) {
    cross.launches = slices;
    step.kernels.push_back({"region_align", static_cast<int>(2 * slices), rows(keys / slices, width, 1, 1)});
  }
  step.kernels.push_back({"resampler kv", 1, matmul(p, width, w)});
  step.kernels.push_back({"resampler keys, values", 2, matmul(keys, width, width)});
  step.kernels.push_back({"resampler attention", 1, cross});
  step.kernels.push_back({"resampler out", 1, matmul(q, width, width)});
  step.kernels.push_back({"resampler projection", 1, matmul(q, width, width)});
  return step;
}

double roof_seconds(const StepCost& step, const DeviceRoof& device) {
  double seconds = step.all_reduces * all_reduce_seconds(step.all_reduce_bytes, step.ranks, device);
  for (const KernelCost& k : step.kernels) seconds += k.count * roof_seconds(k.each, device);
  return seconds;
}

double weight_bytes(const LanguageConfig& language, int ranks, WeightFormat weights) {
  const LanguageShard shard = shard_of(language, 0, ranks);
  const double h = language.hidden, d = language.head_dim, i = shard.units, ids = shard.ids;
  const double layer = matrix_bytes(weights, (shard.heads + 2.0 * shard.kv_heads) * d, h) +
                       matrix_bytes(weights, h, shard.heads * d) + matrix_bytes(weights, 2 * i, h) +
                       matrix_bytes(weights, h, i);
  return language.layers * layer + matrix_bytes(WeightFormat::bf16, ids, h) +
         matrix_bytes(head_format(weights), ids, h);
}

double kv_token_bytes(const LanguageConfig& language, int ranks) {
  const LanguageShard shard = shard_of(language, 0, ranks);
  return 2.0 * kElement * language.layers * shard.kv_heads * language.head_dim;
}

StepRoof step_roof(const LanguageConfig& language, std::span<const AttentionSpan> spans, int samples,
                   int ranks, WeightFormat weights, const DeviceRoof& device) {
  constexpr double kMostResident = 0.9;
  double tokens = 0;
  for (const AttentionSpan& span : spans) tokens += static_cast<double>(span.keys);
  StepRoof roof;
  roof.seconds = roof_seconds(language_step_cost(language, spans, samples, ranks, weights), device);
  roof.resident_bytes = weight_bytes(language, ranks, weights) + tokens * kv_token_bytes(language, ranks);
  roof.fits = roof.resident_bytes <= kMostResident * device.memory;
  return roof;
}

}  // namespace uhd
