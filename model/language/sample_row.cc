#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "model/language/sampler.h"
#include "model/text/grammar.h"

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
  if (row.rule.repetition_penalty != 1.0f) {
    std::unordered_set<int32_t> seen;
    for (const auto& ids : {row.prompt, row.output}) {
      for (int32_t id : ids) {
        if (!known(id) || !seen.insert(id).second) continue;
        float& x = logits[static_cast<size_t>(id)];
        x = x > 0 ? x / row.rule.repetition_penalty : x * row.rule.repetition_penalty;
      }
    }
  }
  if (row.rule.presence_penalty != 0.0f || row.rule.frequency_penalty != 0.0f) {
    std::unordered_map<int32_t, int> counts;
    for (int32_t id : row.output) {
      if (known(id)) ++counts[id];
    }
    for (const auto& [id, count] : counts) {
      logits[static_cast<size_t>(id)] -=
          row.rule.presence_penalty + row.rule.frequency_penalty * static_cast<float>(count);
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

int32_t largest(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// An id is banned if it would complete a run that the answer must not hold.
void apply_rules(std::span<float> logits, const SampleRow& row) {
  if (row.tokens == nullptr) return;
  const std::vector<int32_t>& allowed = row.tokens->allowed;
  for (size_t id = 0; id < logits.size() && !allowed.empty(); ++id) {
    if (!std::binary_search(allowed.begin(), allowed.end(), static_cast<int32_t>(id))) logits[id] = kNever;
  }
  for (const std::vector<int32_t>& run : row.tokens->never) {
    const std::span<const int32_t> before(run.data(), run.size() - 1);
    if (before.size() > row.output.size() || static_cast<size_t>(run.back()) >= logits.size()) continue;
    const auto end = row.output.last(before.size());
    if (std::equal(before.begin(), before.end(), end.begin()))
      logits[static_cast<size_t>(run.back())] = kNever;
  }
}

void apply_mask(std::span<float> logits, std::span<const int32_t> mask) {
  if (mask.empty()) return;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!in_mask(mask, id)) logits[id] = kNever;
  }
}

// Everything may have been banned: then the most likely of them is as good as any, of those allowed. A
// grammar goes before all other rules.
int32_t despite_all(std::span<const float> logits, const SampleRow& row) {
  for (size_t id = 0; id < logits.size() && !row.mask.empty(); ++id) {
    if (in_mask(row.mask, id)) return static_cast<int32_t>(id);
  }
  const bool some = row.tokens != nullptr && !row.tokens->allowed.empty();
  return some ? row.tokens->allowed.front() : largest(logits);
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

// Returns the logarithm of the sum of exponentials.
double log_total(std::span<const float> logits, float top) {
  double total = 0;
  for (float x : logits) total += std::exp(x - top);
  return std::log(total) + top;
}

// The likeliest tokens with their log-probabilities.
std::vector<std::pair<int32_t, float>> likeliest(std::span<const float> logits, int count,
                                                 double normaliser) {
  std::vector<std::pair<int32_t, float>> top;
  if (count <= 0) return top;
  Ranking ranking(logits);
  for (size_t i = 0; i < std::min(static_cast<size_t>(count), ranking.size()); ++i) {
    const int32_t id = ranking.at(i);
    top.emplace_back(id, static_cast<float>(logits[static_cast<size_t>(id)] - normaliser));
  }
  return top;
}

// Makes what is no number impossible, and returns the largest logit.
float cleaned(std::span<float> logits) {
  for (float& x : logits) {
    if (std::isnan(x)) x = kNever;
  }
  return logits[static_cast<size_t>(largest(logits))];
}

}  // namespace

uint64_t random_bits(uint64_t seed, uint64_t step) { return mix(mix(seed) ^ mix(~step)); }

void append_draw(const Draw& draw, std::vector<int32_t>& words) {
  const size_t first = words.size();
  words.resize(first + kDrawWords);
  std::memcpy(words.data() + first, &draw, sizeof(draw));
}

void append_mask(int32_t index, const SampleRow& row, RowMasks& masks) {
  if (row.mask.empty()) return;
  masks.rows.push_back(index);
  masks.words.insert(masks.words.end(), row.mask.begin(), row.mask.end());
}

TokenChoice SampleRow::choice() const {
  const bool as_they_are = rule.logprobs < 0 && rule.repetition_penalty == 1.0f &&
                           rule.presence_penalty == 0.0f && rule.frequency_penalty == 0.0f &&
                           (logit_bias == nullptr || logit_bias->empty()) && banned.empty() &&
                           tokens == nullptr;
  if (!as_they_are) return TokenChoice::by_host;
  return rule.temperature > 0.0f ? TokenChoice::drawn : TokenChoice::greedy;
}

Draw SampleRow::draw() const {
  if (!(rule.temperature > 0.0f)) return {};
  return make_draw(rule.temperature, rule.top_k, rule.top_p, rule.min_p, random_bits(seed, step));
}

SampledToken sample_row(std::span<float> logits, const SampleRow& row) {
  SampledToken token;
  const float top = cleaned(logits);
  token.valid = std::isfinite(top);
  if (!token.valid) return token;
  std::vector<float> own;
  double normaliser = 0;
  if (row.rule.logprobs >= 0) {
    own.assign(logits.begin(), logits.end());
    normaliser = log_total(logits, top);
  }
  apply_penalties(logits, row);
  apply_rules(logits, row);
  apply_mask(logits, row.mask);
  std::vector<uint64_t> scratch;
  token.id = draw_row(logits, row.draw(), scratch);
  if (token.id < 0) token.id = despite_all(logits, row);
  if (row.rule.logprobs >= 0) {
    token.logprob = static_cast<float>(own[static_cast<size_t>(token.id)] - normaliser);
    token.top = likeliest(own, row.rule.logprobs, normaliser);
  }
  return token;
}

ScoredToken score_row(std::span<float> logits, const ScoreRow& row) {
  ScoredToken token;
  const float top = cleaned(logits);
  token.valid = std::isfinite(top);
  if (!token.valid) return token;
  const double normaliser = log_total(logits, top);
  const float own = logits[static_cast<size_t>(row.id)];
  token.logprob = static_cast<float>(own - normaliser);
  token.rank = static_cast<int>(std::ranges::count_if(logits, [&](float x) { return x >= own; }));
  token.top = likeliest(logits, row.top, normaliser);
  return token;
}

}  // namespace uhd
