// A Batch says which sequence computes how many tokens in one step.
#pragma once

#include <vector>

#include "scheduler/sequence.h"

namespace uhd {

// An item computes tokens [first, first + count) of its sequence, whose pages already cover them. `samples`
// is true when the last of these tokens is the last one known, so that its logits give the next one.
struct BatchItem {
  const Sequence* sequence = nullptr;
  int first = 0;
  int count = 0;
  bool samples = false;
  // The rows of tokens [scores_from, scores_end) tell how likely each next token of the prompt was, where
  // that is text.
  int scores_from = 0;
  int scores_end = 0;

  // Returns true if the row of this token is scored.
  bool scores(int at) const {
    return at >= scores_from && at < scores_end && sequence->tokens[static_cast<size_t>(at) + 1] >= 0;
  }

  // Returns true if it computes a token that was generated, and nothing else.
  bool decodes() const { return count == 1 && first >= sequence->prompt_length; }
};

// The page `to` becomes as the page `from` is. Its holder reads the tokens of it that are its own, and writes
// behind them.
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

// The sequences stay valid until the batch is completed.
struct Batch {
  // Returns what the batch takes of a step's rows: a row that is scored counts twice, for its logits.
  int rows() const { return tokens + scored; }

  std::vector<PageCopy> copies;  // made before anything is computed; no page is copied and copied to
  std::vector<BatchItem> items;  // decoding sequences first
  int tokens = 0;                // sum of counts
  int samples = 0;               // items that sample
  int scored = 0;                // rows that are scored
  // Prompts want more rows than the step has; those that wait for pages count, too.
  bool prompts_wait = false;
  // These lists tell what happened on the way to this step.
  std::vector<SequenceId> expired;   // past their deadline: they leave the scheduler
  std::vector<SequenceId> admitted;  // first scheduled now, or again after a preemption
  std::vector<SequenceId> preempted;
};

}  // namespace uhd
