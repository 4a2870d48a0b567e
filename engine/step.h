// A StepPlan holds everything that an LLM rank must know to take part in one step. The leader makes it; the
// others only carry it out.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/archive.h"
#include "model/language/forward_input.h"
#include "model/language/llama.h"
#include "model/language/sampler.h"
#include "scheduler/batch.h"

namespace uhd {

enum class StepKind : uint8_t {
  compute,  // places visual rows, then runs the forward pass if it has tokens
  choose,   // gives the masks that the step launched last waits for, whose tokens are chosen then
  stop,     // the leader ends: leave the loop
};

// A Placement places one slice's rows, which the leader broadcasts at the start of the step: row i goes to
// store row rows[i].
struct Placement {
  std::vector<int32_t> rows;
};

struct StepPlan {
  uint64_t number = 0;
  StepKind kind = StepKind::compute;
  std::vector<Placement> placements;
  std::vector<PageCopy> copies;  // copies of KV pages, made before the forward pass
  ForwardInput input;
  TokenChoice choice = TokenChoice::greedy;  // the choice of the sampling sequences' tokens
  // Masks follow from tokens that the step before draws, so they come when these are known, while the forward
  // pass runs. A step whose tokens the host draws needs them on the leader alone.
  bool masked = false;
  RowMasks masks;      // the masks of a plan to choose
  bool timed = false;  // followers report when they carried it out
};

template <class Archive>
void serialize(Archive& archive, Placement& x) {
  archive(x.rows);
}
template <class Archive>
void serialize(Archive& archive, PageCopy& x) {
  archive(x.from, x.to);
}
template <class Archive>
void serialize(Archive& archive, RowMasks& x) {
  archive(x.rows, x.words);
}
template <class Archive>
void serialize(Archive& archive, StepPlan& x) {
  archive(x.number, x.kind, x.placements, x.copies, x.input, x.choice, x.masked, x.masks, x.timed);
}

// This is the seam between scheduler and model: it turns the batch, which says who does how many tokens, into
// arrays that a kernel can read. rows_of(span) gives the visual store's rows of a span. `input` is reused, so
// that its vectors keep their memory.
using VisualRowsOf = std::function<std::span<const int32_t>(const VisualSpan&)>;
void build_forward_input(ForwardInput& input, const Batch& batch, int page_size, const VisualRowsOf& rows_of);

// These make steps of every kind and size that the limits allow, on a page that no sequence holds.
// prompt_input gives `tokens` rows of prompts, of which the last of each sequence is sampled if `samples`
// says so; `visual` of the rows come from the first rows of the visual store. decode_input gives the next
// token of each of `sequences`.
ForwardInput prompt_input(int tokens, int visual, bool samples, const StepLimits& limits, int32_t page);
ForwardInput decode_input(int sequences, int32_t page, int page_size);

// Makes a step of one token on a page of its own that no sequence holds: the smallest real step, which shows
// that all ranks answer.
ForwardInput probe_input(int32_t page, int page_size);

}  // namespace uhd
