// Logits of the vocabulary shards to token ids, with log-probabilities where wanted.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "cluster/communicator.h"
#include "kernels/backend.h"
#include "kernels/workspace.h"
#include "model/weights/shard.h"

namespace uhd {

// How the next token of one sequence is chosen. Spans and pointers are borrowed for the call.
struct SampleRow {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and output
  float presence_penalty = 0.0f;    // over output
  float frequency_penalty = 0.0f;   // over output
  uint64_t seed = 0;
  uint64_t step = 0;  // tokens generated before this one: with the seed it names the random number
  int logprobs = -1;  // -1: none; 0: of the chosen token; n: and of the n most likely
  const std::map<int32_t, float>* logit_bias = nullptr;
  std::span<const int32_t> banned;  // never chosen: end tokens before min_tokens
  std::span<const int32_t> prompt;  // visual tokens may stand in it as negative ids
  std::span<const int32_t> output;

  // Only the largest logit matters: no row of logits has to leave its shard.
  bool plain_greedy() const;
};

struct SampledToken {
  int32_t id = 0;
  bool valid = true;  // false: no logit was a number; the sequence cannot go on
  float logprob = 0;  // of the model's own distribution, before penalties and temperature
  std::vector<std::pair<int32_t, float>> top;  // most likely first; equal ones by id
};

// The choice for one row of logits [V]; changes them. A pure function: the same row, seed and step give the
// same token on every run, whatever else is in the batch. Equal logits are ordered by id, lowest first.
SampledToken sample_row(std::span<float> logits, const SampleRow& row);

// A number in [0, 1) named by (seed, step), without state.
double random_unit(uint64_t seed, uint64_t step);

// Not thread-safe. Backend and communicator are borrowed.
class Sampler {
 public:
  Sampler(Backend& backend, Communicator& group, const LanguageShard& shard, int vocabulary)
      : backend_(backend), group_(group), shard_(shard), vocabulary_(vocabulary) {}

  size_t workspace_bytes(int max_rows) const;

  // Every rank calls with its own logits [n, shard.ids] and the same `greedy`: true when every row of the
  // step is plain greedy. `rows` are read on rank 0 only (others pass none) and only when not greedy. The
  // result is whole on rank 0; other ranks must not use theirs.
  std::vector<SampledToken> sample(Tensor logits, bool greedy, std::span<const SampleRow> rows,
                                   Workspace& workspace);

 private:
  std::vector<SampledToken> sample_greedy(Tensor logits, Workspace& workspace);
  void gather(Tensor logits, Workspace& workspace);

  Backend& backend_;
  Communicator& group_;
  LanguageShard shard_;
  int vocabulary_;
  std::vector<float> gathered_;  // [size, n, ids]
  std::vector<float> row_;       // [V]
};

}  // namespace uhd
