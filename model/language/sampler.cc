#include "model/language/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace uhd {

size_t Sampler::workspace_bytes(int max_rows) const {
  const auto rows = static_cast<size_t>(max_rows);
  const auto size = static_cast<size_t>(shard_.size);
  const size_t gathered = size == 1 ? 0 : size * rows * static_cast<size_t>(shard_.ids) * sizeof(float);
  return gathered + 2 * (rows + size * rows) * sizeof(float) + 8 * 64;
}

std::vector<SampledToken> Sampler::sample(Tensor logits, bool greedy, std::span<const SampleRow> rows,
                                          Workspace& workspace) {
  if (logits.rows() == 0) return {};
  check(logits.dim(1) == shard_.ids, "logits of ", logits.dim(1), " columns for a shard of ", shard_.ids);
  if (greedy) return sample_greedy(logits, workspace);
  gather(logits, workspace);
  std::vector<SampledToken> tokens;
  if (shard_.rank != 0) return tokens;
  const auto count = static_cast<size_t>(logits.rows());
  const auto width = static_cast<size_t>(shard_.ids);
  check(rows.size() == count, count, " rows of logits, ", rows.size(), " to sample");
  for (size_t i = 0; i < count; ++i) {
    row_.clear();
    for (size_t r = 0; r < static_cast<size_t>(shard_.size); ++r) {
      const float* part = gathered_.data() + (r * count + i) * width;
      const size_t left = static_cast<size_t>(vocabulary_) - row_.size();
      row_.insert(row_.end(), part, part + std::min(width, left));
    }
    tokens.push_back(sample_row(row_, rows[i]));
  }
  return tokens;
}

void Sampler::gather(Tensor logits, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  Tensor all = logits;
  if (shard_.size > 1) {
    all = workspace.take(DType::f32, {shard_.size, logits.rows(), shard_.ids});
    group_.all_gather(all, logits);
  }
  if (shard_.rank != 0) return;
  gathered_.resize(static_cast<size_t>(all.elements()));
  backend_.download(Tensor::of(gathered_.data(), all.shape()), all);
}

std::vector<SampledToken> Sampler::sample_greedy(Tensor logits, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const int64_t n = logits.rows();
  const int64_t size = shard_.size;
  Tensor ids = workspace.take(DType::i32, {n});
  Tensor values = workspace.take(DType::f32, {n});
  if (shard_.real_ids > 0) {
    backend_.argmax(ids, values, logits.slice_columns(0, shard_.real_ids));
  } else {
    // A shard of padding alone never wins.
    const std::vector<int32_t> zero(static_cast<size_t>(n), 0);
    const std::vector<float> never(static_cast<size_t>(n), -std::numeric_limits<float>::infinity());
    backend_.upload(ids, Tensor::of(zero.data(), {n}));
    backend_.upload(values, Tensor::of(never.data(), {n}));
  }
  if (size > 1) {
    const Tensor all_ids = workspace.take(DType::i32, {size, n});
    const Tensor all_values = workspace.take(DType::f32, {size, n});
    group_.all_gather(all_ids, ids);
    group_.all_gather(all_values, values);
    ids = all_ids;
    values = all_values;
  }
  std::vector<int32_t> host_ids(static_cast<size_t>(size * n));
  std::vector<float> host_values(host_ids.size());
  backend_.download(Tensor::of(host_ids.data(), ids.shape()), ids);
  backend_.download(Tensor::of(host_values.data(), values.shape()), values);

  std::vector<SampledToken> tokens(static_cast<size_t>(n));
  for (size_t i = 0; i < tokens.size(); ++i) {
    float best = -std::numeric_limits<float>::infinity();
    for (size_t r = 0; r < static_cast<size_t>(size); ++r) {
      const size_t at = r * tokens.size() + i;
      if (!(host_values[at] > best)) continue;  // ranks are in id order: the first of equals is the lowest
      best = host_values[at];
      tokens[i].id = host_ids[at] + static_cast<int32_t>(r) * shard_.ids;
    }
    tokens[i].valid = std::isfinite(best);
  }
  return tokens;
}

}  // namespace uhd
