// Turns the logits of the vocabulary shards into token ids, with log-probabilities if they are wanted, and
// into the log-probabilities of tokens that are known.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cluster/communicator.h"
#include "kernels/backend.h"
#include "kernels/draw.h"
#include "kernels/workspace.h"
#include "model/language/sampling_rule.h"
#include "model/weights/shard.h"

namespace uhd {

// Where tokens are chosen: as the largest logits of the shards; drawn by the backend (kernels/draw.h); by the
// host, from rows of logits. A step takes the last of those that its rows need.
enum class TokenChoice : uint8_t { greedy, drawn, by_host };

// The masks of those rows of a step that have one: words (model/text/grammar.h) of row rows[0], then of
// rows[1] and so on, of each as many. Rows are in ascending order.
struct RowMasks {
  std::vector<int32_t> rows;
  std::vector<int32_t> words;
};

// TokenRules say which tokens may stand in an answer at all.
struct TokenRules {
  std::vector<int32_t> allowed;             // sorted; empty: all
  std::vector<std::vector<int32_t>> never;  // runs of ids that the answer never holds; none is empty
};

// A SampleRow says how the next token of one sequence is chosen. Spans and pointers are borrowed for the
// call.
struct SampleRow {
  SamplingRule rule;
  uint64_t seed = 0;
  uint64_t step = 0;  // tokens generated before this one: with the seed it names the random number
  const std::map<int32_t, float>* logit_bias = nullptr;
  std::span<const int32_t> banned;     // never chosen: end tokens before min_tokens
  const TokenRules* tokens = nullptr;  // null: any token
  bool masked = false;                 // a mask may come later
  std::span<const int32_t> mask;       // bits of the ids that may come (model/text/grammar.h); empty: all
  std::span<const int32_t> prompt;     // visual tokens may stand in it as negative ids
  std::span<const int32_t> output;

  // The host's are those with penalties, biases, rules for tokens or log-probabilities.
  TokenChoice choice() const;
  // Returns the words made from temperature, top-k, top-p, min-p, seed and step.
  Draw draw() const;
};

struct SampledToken {
  int32_t id = 0;
  bool valid = true;  // false if no logit was a number: the sequence cannot go on
  float logprob = 0;  // log-probability in the model's own distribution, before penalties and temperature
  std::vector<std::pair<int32_t, float>> top;  // most likely first; equal ones by id
};

// A ScoreRow asks how likely a known token was at its place.
struct ScoreRow {
  int32_t id = 0;
  int top = 0;  // likely tokens that are told besides
};

struct ScoredToken {
  bool valid = true;  // false if no logit was a number
  float logprob = 0;  // log-probability in the model's own distribution
  int rank = 0;       // counts the tokens that are as likely or more, itself among them
  std::vector<std::pair<int32_t, float>> top;  // most likely first; equal ones by id
};

// Scores a token by one row of logits [V], in which it makes what is no number impossible.
ScoredToken score_row(std::span<float> logits, const ScoreRow& row);

// Rows of which logits lie in memory at once while they are scored.
constexpr int kRowsScoredAtOnce = 16;

// Chooses a token from one row of logits [V], which it changes. It is a pure function: the same row, seed and
// step give the same token on every run, whatever else is in the batch. Equal logits are ordered by id,
// lowest first.
SampledToken sample_row(std::span<float> logits, const SampleRow& row);

// Returns a number named by (seed, step), without state; every bit of it is random.
uint64_t random_bits(uint64_t seed, uint64_t step);

// Appends the mask of row `index`, if it has one.
void append_mask(int32_t index, const SampleRow& row, RowMasks& masks);

// Appends the words that Backend::draw reads, behind those of the rows before.
void append_draw(const Draw& draw, std::vector<int32_t>& words);

// Every rank of the group makes the same calls, each with its own logits [n, shard.ids], with n up to
// max_rows. Greedy and drawn rows are chosen on the device: mask() where rows have masks, choose() (which may
// be recorded), then fetch_chosen(). Other rows go by way of the host: fetch_logits(). Both fetches queue and
// wait for nothing; take() gives the tokens of the oldest fetch. A Sampler is not thread-safe. Backend and
// communicator are borrowed.
class Sampler {
 public:
  Sampler(Backend& backend, Communicator& group, const LanguageShard& shard, int vocabulary, int max_rows);

  // The ids of the last choose(), i32 [max_rows], equal on all ranks; -1 where no logit is a number.
  Tensor drawn() const { return drawn_.as(DType::i32, {max_rows_}); }
  // Makes the tokens impossible that masks do not have.
  void mask(Tensor logits, const RowMasks& masks, Workspace& workspace);
  // Chooses ids. `draws` is i32 [n, kDrawWords] in device memory, equal on all ranks; if it is empty, the
  // largest logit of every row is chosen.
  void choose(Tensor logits, Tensor draws, Workspace& workspace);
  // Fetches the first `rows` ids. At most two fetches may wait to be taken.
  void fetch_chosen(int64_t rows);
  // Fetches logits. The scope of the workspace must last until they are taken, and nothing may be fetched
  // before that.
  void fetch_logits(Tensor logits, Workspace& workspace);
  bool holds_logits() const { return !waiting_.empty() && waiting_.back().readback == nullptr; }

  // Returns tokens. `rows` say how fetched logits become tokens; only rank 0 reads them (other ranks pass
  // none). The result is whole on rank 0; other ranks must not use theirs.
  std::vector<SampledToken> take(std::span<const SampleRow> rows);

  // Scores logits at once, and waits for them on rank 0, which alone reads `rows` and has a result.
  std::vector<ScoredToken> score(Tensor logits, std::span<const ScoreRow> rows, Workspace& workspace);

  // All at once. Greedy: of `rows` the masks alone are read, on every rank; drawn: `rows`, on every rank.
  std::vector<SampledToken> sample(Tensor logits, TokenChoice choice, std::span<const SampleRow> rows,
                                   Workspace& workspace);

 private:
  struct Waiting {
    Readback* readback = nullptr;  // the readback of ids; null for logits
    Tensor logits;                 // [size, n, ids]
  };
  void choose_largest(Tensor logits, Workspace& workspace);
  // Returns the group's logits, [size, n, ids].
  Tensor gather(Tensor logits, Workspace& workspace);
  std::vector<SampledToken> by_host(Tensor logits, std::span<const SampleRow> rows);
  // Downloads the group's logits, and hands each row of the vocabulary to `use`.
  void for_each_row(Tensor logits, const std::function<void(size_t row, std::span<float> values)>& use);

  Backend& backend_;
  Communicator& group_;
  LanguageShard shard_;
  int vocabulary_;
  int max_rows_;
  DeviceBuffer drawn_;
  std::unique_ptr<Readback> readbacks_[2];
  int next_readback_ = 0;
  std::deque<Waiting> waiting_;
  std::vector<float> gathered_;  // [size, n, ids]
  std::vector<float> row_;       // [V]
};

}  // namespace uhd
