#include "scheduler/scheduler.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <deque>

#include "base/error.h"
#include "base/urgency.h"
#include "scheduler/policy.h"
#include "scheduler/prefix.h"

namespace uhd {

namespace {

// Rows that a client gets at once beside others. It is small enough that a short prompt gets into the next
// step, and large enough that a step goes to few prompts.
constexpr double kQuantum = 64;
// A client that had everything while nobody else came repays this much of it at most.
constexpr double kMostDebt = 4096;

void insert_by_order(std::vector<Sequence*>& list, Sequence* sequence) {
  auto older = [](const Sequence* a, const Sequence* b) { return younger(*b, *a); };
  list.insert(std::upper_bound(list.begin(), list.end(), sequence, older), sequence);
}

// The deepest first: a page is of no use without those before it, and goes before them when it is not used.
void give_up_pages(Sequence& sequence, size_t left) {
  while (sequence.pages.size() > left) sequence.pages.pop_back();
  sequence.named = std::min(sequence.named, left);
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.pages), turns_(kQuantum, kMostDebt), step_rows_(options.token_budget) {
  require(options.max_running > 0 && options.max_waiting > 0 && options.page_size > 0,
          "the scheduler's limits must be positive");
  require(options.token_budget >= options.max_running, "token budget ", options.token_budget,
          " is below the number of running sequences ", options.max_running);
}

bool Scheduler::fits(int64_t length) const {
  return length <= static_cast<int64_t>(pool_.total()) * options_.page_size;
}

Admission Scheduler::add(SequenceSpec spec) {
  check(!spec.prompt.empty() && spec.max_tokens > 0, "a sequence needs a prompt and room for an answer");
  if (static_cast<int>(waiting_.size()) >= options_.max_waiting) return Admission::queue_full;
  const int64_t length = static_cast<int64_t>(spec.prompt.size()) + spec.max_tokens;
  if (!fits(length)) return Admission::too_long;
  auto sequence = std::make_unique<Sequence>();
  sequence->id = spec.id;
  sequence->tenant = std::move(spec.tenant);
  sequence->client = std::move(spec.client);
  sequence->priority = spec.priority;
  sequence->prompt_length = static_cast<int>(spec.prompt.size());
  sequence->max_length = static_cast<int>(length);
  sequence->tokens = std::move(spec.prompt);
  sequence->tokens.reserve(sequence->tokens.size() + static_cast<size_t>(spec.max_tokens));
  sequence->spans = std::move(spec.spans);
  sequence->deadline = spec.deadline;
  sequence->cache_root = spec.cache_root;
  sequence->after = spec.after;
  if (spec.scores) sequence->unscored = 0;
  sequence->arrival = arrivals_++;
  Sequence* added = sequence.get();
  check(sequences_.emplace(spec.id, std::move(sequence)).second, "request ", spec.id, " is already here");
  insert_by_order(waiting_, added);
  turns_.enter(added->client);
  return Admission::queued;
}

void Scheduler::finish(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second->scheduled > 0 || found->second->launched > 0) {
    found->second->leaving = true;
  } else {
    erase(id);
  }
}

int Scheduler::adopt(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return 0;
  Sequence& sequence = *found->second;
  if (sequence.leaving || sequence.decoding()) return sequence.computed;
  adopt_pages(sequence);
  if (sequence.launched == 0) return sequence.computed;
  // While a step writes to the page that the sequence has begun, none takes its place; one will after the
  // step.
  const size_t whole = whole_pages(sequence), kept = kept_pages(sequence, whole).size();
  return kept == 0 ? sequence.computed : static_cast<int>(whole + kept) * options_.page_size;
}

int Scheduler::kept_tokens(std::span<const Fingerprint> pages) const {
  const auto gone =
      std::ranges::find_if(pages, [&](const Fingerprint& name) { return !pool_.contains(name); });
  return static_cast<int>(gone - pages.begin()) * options_.page_size;
}

void Scheduler::set_step_rows(int rows) {
  check(rows > 0, "a step has no rows");
  step_rows_ = std::min(rows, options_.token_budget);
}

Batch Scheduler::next(TimePoint now) {
  check(!planned_, "the step before is not launched");
  Batch batch;
  expire(now, batch);
  for (Sequence* sequence : running_) {
    if (!sequence->leaving && !sequence->decoding()) adopt_pages(*sequence);
  }
  leave_places();
  schedule_decoding(batch);
  schedule_prompts(now, batch);
  planned_ = !batch.items.empty();
  return batch;
}

void Scheduler::launched(const Batch& batch) {
  check(planned_, "no step is planned");
  planned_ = false;
  int drawn = 0;
  for (const BatchItem& item : batch.items) {
    Sequence& sequence = *sequences_.at(item.sequence->id);
    check(sequence.scheduled == item.count, "request ", sequence.id, " is not planned so");
    sequence.computed += item.count;
    sequence.scheduled = 0;
    if (sequence.scores()) sequence.unscored = std::max(sequence.unscored, item.scores_end);
    ++sequence.launched;
    if (!item.samples) continue;
    ++sequence.awaited;
    sequence.awaited_at = drawn++;
  }
}

void Scheduler::complete(const Batch& batch, std::span<const int32_t> tokens) {
  check(static_cast<int>(tokens.size()) == batch.samples, "the step drew ", tokens.size(), " tokens, not ",
        batch.samples);
  size_t drawn = 0;
  for (const BatchItem& item : batch.items) {
    Sequence& sequence = *sequences_.at(item.sequence->id);
    check(sequence.launched > 0, "request ", sequence.id, " is part of no step under way");
    --sequence.launched;
    if (item.samples) {
      --sequence.awaited;
      sequence.tokens.push_back(tokens[drawn++]);
    }
    name_pages(sequence);
    if (sequence.leaving && sequence.launched == 0) erase(sequence.id);
  }
}

int Scheduler::decoding() const {
  return static_cast<int>(
      std::ranges::count_if(running_, [](const Sequence* s) { return s->generated() > 0; }));
}

const Sequence* Scheduler::find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

void Scheduler::expire(TimePoint now, Batch& batch) {
  for (const auto& [id, sequence] : sequences_) {
    if (!sequence->leaving && sequence->deadline && *sequence->deadline <= now) batch.expired.push_back(id);
  }
  std::sort(batch.expired.begin(), batch.expired.end());
  for (SequenceId id : batch.expired) finish(id);
}

// Sequences whose next token waits for a slice leave their places, and come back as it arrives.
void Scheduler::leave_places() {
  for (size_t i = running_.size(); i-- > 0;) {
    Sequence* sequence = running_[i];
    if (runnable_tokens(*sequence) > 0) continue;
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    sequence->phase = Phase::waiting;
    sequence->reached = sequence->computed;
    insert_by_order(waiting_, sequence);
  }
}

void Scheduler::schedule_decoding(Batch& batch) {
  // Preemption changes running_ while we walk it, always behind the sequence at hand.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.leaving || !sequence.decoding() || sequence.length() >= sequence.max_length) continue;
    if (reserve(sequence, 1, batch) == 1) {
      put(sequence, 1, batch);
      turns_.charge(sequence.client, decode_cost_);
    } else {
      preempt(sequence, batch);
      --i;
    }
  }
}

// One that could compute a part of its prompt now.
struct Scheduler::Candidate {
  Sequence* sequence;
  int level;
  Phase phase;  // one that is preempted meanwhile is none any more
  bool checked = false;
};

// Each client's, in its own order.
struct Scheduler::Candidates {
  std::unordered_map<std::string, std::deque<Candidate>> of;
  void drop_front(const std::string& client) {
    const auto line = of.find(client);
    line->second.pop_front();
    if (line->second.empty()) of.erase(line);
  }
};

Scheduler::Candidates Scheduler::prompts(TimePoint now) {
  int best = INT_MAX;
  for (const auto& [id, sequence] : sequences_) {
    best = std::min(best, sequence->priority);
    if (!sequence->arrived) sequence->arrived = now;
  }
  Candidates found;
  const auto add = [&](Sequence* s) {
    if (s->leaving) return;
    const Urgency urgency{s->priority, s->arrived.value_or(now)};
    found.of[s->client].push_back({s, level_of(urgency, now, best), s->phase});
  };
  for (Sequence* s : running_) {
    if (s->scheduled == 0 && !s->decoding()) add(s);
  }
  if (static_cast<int>(running_.size()) < options_.max_running) std::ranges::for_each(waiting_, add);
  for (auto& [client, line] : found.of) {
    std::ranges::stable_sort(line, [](const auto& a, const auto& b) {
      if (a.level != b.level) return a.level < b.level;
      return a.sequence->arrival < b.sequence->arrival;
    });
  }
  return found;
}

// Returns true if the sequence has tokens to compute, once it holds what others have computed of them.
bool Scheduler::is_next(Candidate& one, bool admits) {
  Sequence& sequence = *one.sequence;
  if (one.phase != sequence.phase || (one.phase == Phase::waiting && !admits)) return false;
  if (!one.checked) adopt_pages(sequence);
  one.checked = true;
  return runnable_tokens(sequence) > sequence.scheduled && !waits_for_prompt(sequence);
}

void Scheduler::schedule_prompts(TimePoint now, Batch& batch) {
  bool admits = admit_owed(batch);  // until one lacks a place or pages
  Candidates candidates = prompts(now);
  for (;;) {
    // The first of each client that can compute; those that wait for a slice or for another's prompt are
    // passed.
    for (auto line = candidates.of.begin(); line != candidates.of.end();) {
      auto& own = line->second;
      while (!own.empty() && !is_next(own.front(), admits)) own.pop_front();
      line = own.empty() ? candidates.of.erase(line) : std::next(line);
    }
    if (candidates.of.empty()) return;
    batch.prompts_wait = batch.rows() >= step_rows_;
    if (batch.prompts_wait) return;
    const std::string* chosen = turns_.choose_by_level([&](const std::string& client) {
      const auto line = candidates.of.find(client);
      return line == candidates.of.end() ? FairTurns::kNothing : line->second.front().level;
    });
    if (chosen == nullptr) return;
    const std::string client = *chosen;
    auto& next = candidates.of.at(client).front();
    Sequence& sequence = *next.sequence;
    if (next.phase == Phase::waiting) {
      admits = admit(sequence, batch);
      if (!admits) continue;
      next.phase = Phase::running;
    }
    const bool alone = candidates.of.size() == 1;
    const int most = alone ? step_rows_ : static_cast<int>(std::ceil(turns_.balance(client)));
    const int rows = prefill(sequence, most, batch);
    turns_.charge(client, rows);
    if (rows == 0) candidates.drop_front(client);
  }
}

// Those whose turn found no pages, and those that lost theirs, go before anybody's turn, the oldest first.
// Returns false if one still lacks pages or a place: then nobody is admitted, or a long prompt would wait for
// ever.
bool Scheduler::admit_owed(Batch& batch) {
  const std::vector<Sequence*> waiting = waiting_;
  for (Sequence* s : waiting) {
    if (!s->owed || s->leaving) continue;
    adopt_pages(*s);
    if (runnable_tokens(*s) > 0 && !waits_for_prompt(*s) && !admit(*s, batch)) return false;
  }
  return true;
}

// Gives a waiting sequence a place if there is one, and if there are pages for it.
bool Scheduler::admit(Sequence& sequence, Batch& batch) {
  if (static_cast<int>(running_.size()) >= options_.max_running) return false;
  std::erase(waiting_, &sequence);
  if (sequence.order == kNoTurn) sequence.order = turns_begun_++;
  const int free = pool_.free() + spare_pages(waiting_, sequence, pool_);
  sequence.owed = !may_admit(sequence, running_, free, options_.page_size);
  if (!sequence.owed) {
    sequence.phase = Phase::running;
    batch.admitted.push_back(sequence.id);
    copy_begun_page(sequence, batch);
  }
  insert_by_order(sequence.owed ? waiting_ : running_, &sequence);
  return !sequence.owed;
}

size_t Scheduler::whole_pages(const Sequence& sequence) const {
  return static_cast<size_t>(sequence.computed / options_.page_size);
}

// Returns the pages from the `first` on that hold the sequence's tokens already, whoever computed them.
std::vector<PageRef> Scheduler::kept_pages(Sequence& sequence, size_t first) {
  std::vector<PageRef> found;
  if (!sequence.cache_root) return found;
  // One token is left to compute; two of a sequence that decodes, which else would decode behind those that
  // prefill.
  const int left = sequence.generated() > 0 ? 2 : 1;
  const int kept = std::min(sequence.length() - left, sequence.scores() ? sequence.unscored : INT_MAX);
  const auto most = static_cast<size_t>(kept / options_.page_size);
  for (size_t index = first; index < most; ++index) {
    const std::optional<Fingerprint> name = page_name(sequence, index, options_.page_size);
    std::optional<PageRef> page = name ? pool_.find(*name) : std::nullopt;
    if (!page) break;
    found.push_back(std::move(*page));
  }
  return found;
}

// Takes pages that hold the sequence's next tokens already, in place of a page that it has begun itself.
void Scheduler::adopt_pages(Sequence& sequence) {
  if (sequence.launched > 0 || sequence.scheduled > 0) return;
  const size_t whole = whole_pages(sequence);
  std::vector<PageRef> found = kept_pages(sequence, whole);
  if (found.empty()) return;
  give_up_pages(sequence, whole);
  for (PageRef& page : found) sequence.pages.push_back(std::move(page));
  sequence.named = sequence.pages.size();
  const int before = sequence.computed;
  sequence.computed = static_cast<int>(sequence.pages.size()) * options_.page_size;
  if (sequence.generated() == 0 && sequence.preemptions == 0) sequence.cached += sequence.computed - before;
}

// The first of the prompt's sequences holds the prompt's last page, which is not full: a copy of it leaves
// one token to compute.
void Scheduler::copy_begun_page(Sequence& sequence, Batch& batch) {
  const Sequence* first = sequence.after == 0 ? nullptr : find(sequence.after);
  const int last = sequence.prompt_length - 1;
  const auto page = static_cast<size_t>(last / options_.page_size);
  if (first == nullptr || !sequence.cache_root || sequence.scores() || sequence.generated() > 0 ||
      first->computed < last || first->pages.size() <= page || sequence.computed >= last ||
      sequence.pages.size() != page || pool_.free() == 0)
    return;
  PageRef copy = pool_.take();
  // A page that lost its holders in this step may be part of another copy.
  const auto in_use = [&](const PageCopy& other) {
    return other.from == copy.page() || other.to == copy.page();
  };
  if (std::ranges::any_of(batch.copies, in_use)) return;
  batch.copies.push_back({first->pages[page].page(), copy.page()});
  sequence.pages.push_back(std::move(copy));
  if (sequence.preemptions == 0) sequence.cached += last - sequence.computed;
  sequence.computed = last;
}

// A page whose name another has is given back for that one, so that who holds a named page holds all named
// pages before it, and gives them up after it. Steps under way have their page numbers, and those that are
// planned from now on are computed after them.
void Scheduler::name_pages(Sequence& sequence) {
  const int known = std::min(sequence.computed, static_cast<int>(sequence.tokens.size()));
  const auto full = std::min(sequence.pages.size(), static_cast<size_t>(known / options_.page_size));
  for (; sequence.named < full; ++sequence.named) {
    const std::optional<Fingerprint> name = page_name(sequence, sequence.named, options_.page_size);
    if (!name) return;
    PageRef& page = sequence.pages[sequence.named];
    if (std::optional<PageRef> same = pool_.find(*name)) {
      page = std::move(*same);
    } else {
      pool_.name(page, *name);
    }
  }
}

// Sequences of one prompt: the first computes it, the others begin with its pages. They answer behind its
// scores in any case, so that a client hears of the prompt first.
bool Scheduler::waits_for_prompt(const Sequence& sequence) const {
  if (sequence.after == 0) return false;
  const Sequence* first = find(sequence.after);
  if (first == nullptr || first->leaving) return false;
  if (first->scores()) return true;
  if (!sequence.cache_root || sequence.preemptions > 0) return false;
  return static_cast<int>(first->tokens.size()) == first->prompt_length;
}

// Computes more tokens of the sequence in this step, which take up to `most` of its rows; returns how many
// rows they take. A token that is scored takes two, and gets them where one is left, so that it gets on.
int Scheduler::prefill(Sequence& sequence, int most, Batch& batch) {
  const int rows = std::min(most, step_rows_ - batch.rows());
  const int begin = sequence.computed + sequence.scheduled;
  const int wanted = std::min(runnable_tokens(sequence) - sequence.scheduled, rows);
  int count = 0;
  for (int taken = 0; count < wanted && taken < rows; ++count) {
    taken += 1 + sequence.rows_to_score(begin + count, begin + count + 1);
    if (taken > rows && count > 0) break;
  }
  if (count > 0) count = reserve(sequence, count, batch);
  if (count == 0) return 0;
  const int before = batch.rows();
  put(sequence, count, batch);
  return batch.rows() - before;
}

// Takes pages for up to `tokens` more tokens, from the free ones first, then from waiting sequences, then
// from younger ones; returns how many tokens the pages allow.
int Scheduler::reserve(Sequence& sequence, int tokens, Batch& batch) {
  const auto needed =
      static_cast<size_t>(pages_for(sequence.computed + sequence.scheduled + tokens, options_.page_size));
  while (sequence.pages.size() < needed) {
    // A page that was given up may have other holders.
    while (pool_.free() == 0 && free_a_page(sequence, batch)) {
    }
    if (pool_.free() == 0) break;
    sequence.pages.push_back(pool_.take());
  }
  const int room =
      static_cast<int>(sequence.pages.size()) * options_.page_size - sequence.computed - sequence.scheduled;
  return std::min(tokens, room);
}

bool Scheduler::free_a_page(const Sequence& requester, Batch& batch) {
  if (Sequence* spare = choose_spare(waiting_, requester)) {
    give_up_pages(*spare, spare->pages.size() - 1);
    spare->computed = std::min(spare->computed, static_cast<int>(spare->pages.size()) * options_.page_size);
    spare->cached = std::min(spare->cached, spare->computed);
    return true;
  }
  Sequence* victim = choose_victim(running_, requester, options_.page_size);
  if (victim != nullptr) preempt(*victim, batch);
  return victim != nullptr;
}

void Scheduler::preempt(Sequence& sequence, Batch& batch) {
  give_up_pages(sequence, 0);
  sequence.computed = 0;
  sequence.phase = Phase::waiting;
  sequence.owed = true;
  ++sequence.preemptions;
  std::erase(running_, &sequence);
  insert_by_order(waiting_, &sequence);
  batch.preempted.push_back(sequence.id);
}

// Puts tokens of the sequence into the step; a prompt that has some in it already gets more of them.
void Scheduler::put(Sequence& sequence, int count, Batch& batch) {
  sequence.scheduled += count;
  const bool samples = sequence.computed + sequence.scheduled == sequence.length();
  batch.tokens += count;
  batch.samples += samples ? 1 : 0;
  const int end = sequence.computed + sequence.scheduled;
  batch.scored += sequence.rows_to_score(end - count, end);
  const bool joins = sequence.scheduled == count;
  if (joins) batch.items.push_back({&sequence, sequence.computed});
  BatchItem& own =
      joins ? batch.items.back() : *std::ranges::find(batch.items, &sequence, &BatchItem::sequence);
  own.count = sequence.scheduled;
  own.samples = samples;
  if (!sequence.scores()) return;
  own.scores_end = std::min(end, sequence.prompt_length - 1);
  own.scores_from = std::min(std::max(own.first, sequence.unscored), own.scores_end);
}

void Scheduler::erase(SequenceId id) {
  const auto found = sequences_.find(id);
  std::erase(running_, found->second.get());
  std::erase(waiting_, found->second.get());
  give_up_pages(*found->second, 0);
  turns_.leave(found->second->client);
  sequences_.erase(found);
}

void Scheduler::check_integrity() const {
  pool_.check_integrity();
  check(sequences_.size() == running_.size() + waiting_.size(), "a sequence is in no list, or in two");
  std::vector<int> holders(static_cast<size_t>(pool_.total()), 0);
  for (const auto& [id, sequence] : sequences_) {
    const auto holds = static_cast<int>(sequence->pages.size());
    const int computed = sequence->computed + sequence->scheduled;
    check(sequence->awaited <= sequence->launched, "request ", id, " awaits tokens that nobody draws");
    check(holds >= pages_for(computed, options_.page_size), "request ", id, " computed past its pages");
    check(sequence->length() <= sequence->max_length, "request ", id, " is longer than agreed");
    check(sequence->phase == Phase::running || sequence->scheduled == 0, "request ", id,
          " is planned without a place");
    for (const PageRef& ref : sequence->pages) ++holders[static_cast<size_t>(ref.page())];
    for (size_t index = 0; index < sequence->named; ++index) {
      const int32_t page = sequence->pages[index].page();
      check(pool_.is_named(page), "request ", id, " holds page ", page, " though another has its name");
    }
    const auto next = static_cast<size_t>(computed / options_.page_size);
    check(next >= sequence->pages.size() || !pool_.is_named(sequence->pages[next].page()), "request ", id,
          " would write to a page that others may read");
  }
  int held = 0;
  for (int32_t page = 0; page < pool_.total(); ++page) {
    const int held_by = holders[static_cast<size_t>(page)];
    check(held_by == pool_.holders(page), "page ", page, " has ", held_by, " holders, not ",
          pool_.holders(page));
    check(held_by <= 1 || pool_.is_named(page), "page ", page, " has two writers");
    held += held_by > 0 ? 1 : 0;
  }
  check(held + pool_.free() == pool_.total(), "pages are lost: ", held, " held, ", pool_.free(), " free");
}

}  // namespace uhd
