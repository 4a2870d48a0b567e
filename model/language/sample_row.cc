#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "model/language/sampler.h"

namespace uhd {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// splitmix64's finaliser: every input bit reaches every output bit.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void apply_penalties(std::span<float> logits, const SampleRow& row) {
  const auto size = static_cast<int32_t>(logits.size());
  const auto known = [&](int32_t id) { return id >= 0 && id < size; };
  if (row.repetition_penalty != 1.0f) {
    std::unordered_set<int32_t> seen;
    for (const auto& ids : {row.prompt, row.output}) {
      for (int32_t id : ids) {
        if (!known(id) || !seen.insert(id).second) continue;
        float& x = logits[static_cast<size_t>(id)];
        x = x > 0 ? x / row.repetition_penalty : x * row.repetition_penalty;
      }
    }
  }
  if (row.presence_penalty != 0.0f || row.frequency_penalty != 0.0f) {
    std::unordered_map<int32_t, int> counts;
    for (int32_t id : row.output) {
      if (known(id)) ++counts[id];
    }
    for (const auto& [id, count] : counts) {
      logits[static_cast<size_t>(id)] -=
          row.presence_penalty + row.frequency_penalty * static_cast<float>(count);
    }
  }
  if (row.logit_bias != nullptr) {
    for (const auto& [id, bias] : *row.logit_bias) {
      if (known(id)) logits[static_cast<size_t>(id)] += bias;
    }
  }
  for (int32_t id : row.banned) {
    if (known(id)) logits[static_cast<size_t>(id)] = kNever;
  }
}

// Orders ids by logit, lowest id first among equals.
struct MoreLikely {
  std::span<const float> logits;
  bool operator()(int32_t a, int32_t b) const {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  }
};

// Ids from the most likely on, sorted only as far as they are asked for.
class Ranking {
 public:
  explicit Ranking(std::span<const float> logits) : ids_(logits.size()), more_likely_{logits} {
    std::iota(ids_.begin(), ids_.end(), 0);
  }
  int32_t at(size_t rank) {
    while (rank >= sorted_) {
      const size_t end = std::min(ids_.size(), std::max<size_t>(256, sorted_ * 4));
      std::partial_sort(ids_.begin() + static_cast<int64_t>(sorted_),
                        ids_.begin() + static_cast<int64_t>(end), ids_.end(), more_likely_);
      sorted_ = end;
    }
    return ids_[rank];
  }
  size_t size() const { return ids_.size(); }

 private:
  std::vector<int32_t> ids_;
  size_t sorted_ = 0;
  MoreLikely more_likely_;
};

int32_t largest(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// log of the sum of exp
double log_total(std::span<const float> logits, float top) {
  double total = 0;
  for (float x : logits) total += std::exp(x - top);
  return std::log(total) + top;
}

void add_logprobs(std::span<const float> logits, int count, double normaliser, SampledToken& token) {
  token.logprob = static_cast<float>(logits[static_cast<size_t>(token.id)] - normaliser);
  Ranking ranking(logits);
  for (size_t i = 0; i < std::min(static_cast<size_t>(std::max(count, 0)), ranking.size()); ++i) {
    const int32_t id = ranking.at(i);
    token.top.emplace_back(id, static_cast<float>(logits[static_cast<size_t>(id)] - normaliser));
  }
}

// The first id at which the running sum of weights passes `left`, of `count` ids that `id_at` names; the
// first of all if rounding leaves something over.
template <class Id, class Weight>
int32_t walk(size_t count, double left, const Id& id_at, const Weight& weight, int32_t otherwise) {
  for (size_t i = 0; i < count; ++i) {
    left -= weight(id_at(i));
    if (left < 0) return id_at(i);
  }
  return otherwise;
}

// top-k, then top-p of what it left, then min-p; then the token at a random share of the rest.
int32_t draw(std::span<const float> logits, const SampleRow& row) {
  const int32_t best = largest(logits);
  const float top = logits[static_cast<size_t>(best)];
  std::vector<float> weights(logits.size());  // relative to the most likely, whose weight is 1
  for (size_t i = 0; i < logits.size(); ++i) weights[i] = std::exp((logits[i] - top) / row.temperature);
  const auto weight = [&](int32_t id) { return weights[static_cast<size_t>(id)]; };
  const double unit = random_unit(row.seed, row.step);
  const bool cut_by_k = row.top_k > 0 && static_cast<size_t>(row.top_k) < logits.size();
  const size_t considered = cut_by_k ? static_cast<size_t>(row.top_k) : logits.size();
  double total = 0;
  if (!cut_by_k) {
    for (float w : weights) total += w;
    if (row.top_p >= 1.0f && row.min_p <= 0.0f) {
      const auto in_order = [](size_t i) { return static_cast<int32_t>(i); };
      return walk(considered, unit * total, in_order, weight, best);
    }
  }
  Ranking ranking(logits);
  const auto ranked = [&](size_t i) { return ranking.at(i); };
  if (cut_by_k) {
    for (size_t i = 0; i < considered; ++i) total += weight(ranked(i));
  }
  double kept = 0;
  size_t count = 0;
  while (count < considered) {
    const float w = weight(ranked(count));
    // The most likely token always stays.
    if (count > 0 && (kept >= row.top_p * total || w < row.min_p || w <= 0)) break;
    kept += w;
    ++count;
  }
  return walk(count, unit * kept, ranked, weight, best);
}

}  // namespace

double random_unit(uint64_t seed, uint64_t step) {
  return static_cast<double>(mix(mix(seed) ^ mix(~step)) >> 11) * 0x1p-53;
}

bool SampleRow::plain_greedy() const {
  return temperature == 0.0f && logprobs < 0 && repetition_penalty == 1.0f && presence_penalty == 0.0f &&
         frequency_penalty == 0.0f && (logit_bias == nullptr || logit_bias->empty()) && banned.empty();
}

SampledToken sample_row(std::span<float> logits, const SampleRow& row) {
  for (float& x : logits) {
    if (std::isnan(x)) x = kNever;
  }
  SampledToken token;
  const float top = logits[static_cast<size_t>(largest(logits))];
  token.valid = std::isfinite(top);
  if (!token.valid) return token;
  std::vector<float> own;
  double normaliser = 0;
  if (row.logprobs >= 0) {
    own.assign(logits.begin(), logits.end());
    normaliser = log_total(logits, top);
  }
  apply_penalties(logits, row);
  const int32_t best = largest(logits);
  token.id = best;
  // Everything may have been banned: then the most likely of them is as good as any.
  const bool drawable = std::isfinite(logits[static_cast<size_t>(best)]);
  if (drawable && row.temperature > 0.0f) token.id = draw(logits, row);
  if (row.logprobs >= 0) add_logprobs(own, row.logprobs, normaliser, token);
  return token;
}

}  // namespace uhd
