// A Sequence is the running state of one request as the scheduler sees it: its tokens, its visual spans, how
// much is computed, and its pages.
#pragma once

#include <algorithm>
#include <climits>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/visual_span.h"
#include "scheduler/page_pool.h"

namespace uhd {

using SequenceId = uint64_t;

inline std::shared_ptr<const VisualSpans> no_spans() {
  static const auto none = std::make_shared<const VisualSpans>();
  return none;
}

// A running sequence has one of the places of a step. A waiting one waits for a place, for pages or for a
// slice; its computed tokens keep their pages until others need them.
enum class Phase : uint8_t { waiting, running };

// The order of a sequence that has had no turn yet: it is younger than all that have.
constexpr uint64_t kNoTurn = UINT64_MAX;

constexpr int kNothingToScore = INT_MAX;

// The Scheduler owns every Sequence; others read it through a Batch.
struct Sequence {
  SequenceId id = 0;
  std::string tenant;
  std::string client;
  int priority = 0;             // lower goes first
  std::vector<int32_t> tokens;  // prompt, then what was generated
  // These are the prompt's spans, shared with other sequences of the prompt and with the code that makes them
  // ready.
  std::shared_ptr<const VisualSpans> spans = no_spans();
  int prompt_length = 0;
  int max_length = 0;  // prompt and answer together; the pool must be able to hold it
  std::optional<TimePoint> deadline;

  std::optional<Fingerprint> cache_root;  // its pages may be shared by others of the same root
  std::vector<Fingerprint> page_names;  // names of its first pages, as far as they were asked for (page_name)
  size_t named = 0;                     // the number of its first pages that have a name
  int unscored = kNothingToScore;       // the first token whose row must be computed for its logits (Batch)
  SequenceId after = 0;                 // it waits until this one, of the same prompt, has computed it
  int cached = 0;                       // tokens of the prompt that were computed by others

  Phase phase = Phase::waiting;
  uint64_t arrival = 0;
  std::optional<TimePoint> arrived;  // the time when the scheduler first planned with it
  uint64_t order = kNoTurn;  // the order of first turns: the older goes first, the younger is preempted
  int computed = 0;          // tokens whose K and V lie in the pages, once the steps under way are done
  int reached = 0;           // tokens computed when it left its place to wait for a slice
  int scheduled = 0;         // tokens in the step that is planned and not launched
  int launched = 0;          // steps under way that it is part of
  int awaited = 0;           // tokens that steps under way draw for it: its last ones, not known yet
  int awaited_at = 0;        // the place of the last of them among those that its step draws
  int preemptions = 0;
  bool owed = false;           // it has had its turn and found no pages, or has lost them
  bool leaving = false;        // true if it was finished or cancelled while it was planned or under way
  std::vector<PageRef> pages;  // token j lies in pages[j / page size]

  int length() const { return static_cast<int>(tokens.size()) + awaited; }
  int generated() const { return length() - prompt_length; }
  // Returns true while rows of the prompt are still to be scored.
  bool scores() const { return unscored < prompt_length - 1; }
  // Returns how many of the tokens [first, end) have a row to score: one whose next token is in the prompt
  // and is text.
  int rows_to_score(int first, int end) const {
    int rows = 0;
    for (int at = std::max(first, unscored); at < std::min(end, prompt_length - 1); ++at) {
      rows += tokens[static_cast<size_t>(at) + 1] >= 0 ? 1 : 0;
    }
    return rows;
  }
  // Returns true if the prompt is computed and one token is to go, which costs one row of the step.
  bool decoding() const { return generated() > 0 && computed == length() - 1; }
};

}  // namespace uhd
