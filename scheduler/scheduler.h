// The scheduler decides which sequence computes how many tokens in the next step, and which KV pages it
// holds. It is a state machine over plain data. It is given the time, and knows no tensors, clocks or
// threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fair_turns.h"
#include "scheduler/batch.h"
#include "scheduler/page_pool.h"

namespace uhd {

struct SchedulerOptions {
  int max_running = 32;    // sequences in one step
  int max_waiting = 256;   // sequences not yet admitted; the scheduler refuses more
  int token_budget = 512;  // rows of one step, prefill and decode together (Batch::rows)
  int page_size = 64;      // tokens
  int pages = 0;
};

// A SequenceSpec describes a new sequence.
struct SequenceSpec {
  SequenceId id = 0;
  std::string tenant;  // the tenant that it belongs to
  std::string client;  // the one who asks: clients share the rows of steps
  int priority = 0;    // lower goes first
  std::vector<int32_t> prompt;
  // Between two steps the caller sets the spans that become ready.
  std::shared_ptr<const VisualSpans> spans = no_spans();
  int max_tokens = 0;  // tokens of the answer, at least 1
  std::optional<TimePoint> deadline;
  // Pages are shared among sequences of one root, which stands for those who may know of each other; none:
  // the sequence shares nothing.
  std::optional<Fingerprint> cache_root;
  SequenceId after = 0;  // another sequence of the same prompt, which computes it for both; 0: none
  bool scores = false;   // the rows of its prompt are scored, so all of them are computed
};

enum class Admission : uint8_t { queued, queue_full, too_long };

// The scheduler does continuous batching with chunked prefill. Decoding sequences come first, then prefill
// within the token budget. Pages are taken on demand; when they run out, a younger sequence gives all of its
// pages back and starts over later: the one that loses least by it.
//
// Rows of prompts go to the best level first (level_of: the priority, which improves with age). Within a
// level clients take turns by what they were given (FairTurns): a row of a prompt costs 1, a decoded token
// what set_decode_cost() says, and decoding is never held back for it. A client's own sequences go by level,
// then by arrival. A waiting sequence takes a place at its turn, with its first rows.
//
// A sequence's age is the order of first turns (Sequence::order), and not that of arrivals. Its turn may find
// no pages; then nobody else is admitted before it, whatever the priority. So a turn is never lost, and
// all that is said here of the oldest holds of the one whose first turn was first.
//
// No sequence keeps a place of the step while it lacks something: one whose next token waits for a slice
// leaves its place, and keeps its pages only until another needs them, one by one from its end.
//
// A page that is full keeps its name (page_name), and later sequences that begin alike hold it instead of
// computing it again, whether or not somebody else holds it still. Sequences that computed such a page beside
// each other hold one of them from then on, so that of a chain the deepest page is always evicted first.
// Sequences of one prompt also copy its last page, which is not full. At least one token of each is left to
// compute, which gives its next. Rows that must be scored are computed by the sequence itself, once.
//
// So nobody waits in a circle. Requests take rows of the visual store (VisualIndex), then memory for their
// cut slices (CutQueue), each for all of their slices at once, and hold them while they wait for encoders,
// places and pages. Memory for slices comes back as they are encoded. Places and the pages that others cannot
// have are held by those alone that have a token to compute: they get on, the oldest of them is never
// preempted, and in the end they finish or leave their place.
//
// Steps go next → launched → complete, and complete in their order. Once a step is launched the next may be
// planned, before its tokens are known: a sequence that turns out to have ended is then part of a step for
// nothing.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  // Returns true if one sequence of so many tokens, answer included, can ever run.
  bool fits(int64_t length) const;
  Admission add(SequenceSpec spec);
  // Removes the sequence, finished or cancelled. Its pages are free at once, or when the last of its steps
  // completes. Unknown ids are ignored.
  void finish(SequenceId id);

  // Takes pages that hold the sequence's next tokens already, as next() does at its turn; while the sequence
  // is part of a step under way, only finds them. Returns how many tokens at its beginning have their keys
  // and values; 0 for unknown ids. They may be lost again while the sequence waits, or by preemption.
  int adopt(SequenceId id);

  // Returns how many tokens of a prompt, whose pages have these names (prompt_pages), a sequence could take
  // now instead of computing them. It changes nothing, and is no use of the pages.
  int kept_tokens(std::span<const Fingerprint> pages) const;

  // Sets what a decoded token costs, in rows of a prompt; positive.
  void set_decode_cost(double rows) { decode_cost_ = rows; }

  // Sets the rows of a step, prompts' and decoded ones; the options' token budget is the most.
  void set_step_rows(int rows);

  // Chooses the next step. A batch without items means that nothing can run now.
  Batch next(TimePoint now);
  // Tells the scheduler that this step will be computed before any that is planned from now on.
  void launched(const Batch& batch);
  // Tells the scheduler that the step was computed. tokens[i] is the token that the i-th sampling item drew.
  void complete(const Batch& batch, std::span<const int32_t> tokens);

  // Returns how many sequences are past their prompts, and may decode in the next step.
  int decoding() const;
  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }
  bool empty() const { return sequences_.empty(); }
  const PagePool& pages() const { return pool_; }
  const FairTurns& turns() const { return turns_; }
  const Sequence* find(SequenceId id) const;
  // Throws when a page is lost or written by two sequences, or when a sequence and its pages disagree.
  void check_integrity() const;

 private:
  void expire(TimePoint now, Batch& batch);
  void leave_places();
  void schedule_decoding(Batch& batch);
  void schedule_prompts(TimePoint now, Batch& batch);
  struct Candidates;
  Candidates prompts(TimePoint now);
  struct Candidate;
  bool is_next(Candidate& one, bool admits);
  bool admit_owed(Batch& batch);
  bool admit(Sequence& sequence, Batch& batch);
  size_t whole_pages(const Sequence& sequence) const;
  std::vector<PageRef> kept_pages(Sequence& sequence, size_t first);
  void adopt_pages(Sequence& sequence);
  void copy_begun_page(Sequence& sequence, Batch& batch);
  void name_pages(Sequence& sequence);
  bool waits_for_prompt(const Sequence& sequence) const;
  int prefill(Sequence& sequence, int most, Batch& batch);
  int reserve(Sequence& sequence, int tokens, Batch& batch);
  bool free_a_page(const Sequence& requester, Batch& batch);
  void preempt(Sequence& sequence, Batch& batch);
  void put(Sequence& sequence, int count, Batch& batch);
  void erase(SequenceId id);

  SchedulerOptions options_;
  PagePool pool_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> waiting_;  // the oldest first
  std::vector<Sequence*> running_;  // the oldest first
  FairTurns turns_;                 // turns counted in rows of prompts
  double decode_cost_ = 1;
  int step_rows_ = 0;
  uint64_t turns_begun_ = 0;
  uint64_t arrivals_ = 0;
  bool planned_ = false;  // true while a step is planned and not launched
};

}  // namespace uhd
