#include "scheduler/scheduler.h"

#include <algorithm>

#include "base/error.h"
#include "scheduler/policy.h"

namespace uhd {

namespace {

void insert_by_order(std::vector<Sequence*>& list, Sequence* sequence) {
  auto younger = [](const Sequence* a, const Sequence* b) { return a->order < b->order; };
  list.insert(std::upper_bound(list.begin(), list.end(), sequence, younger), sequence);
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options), pool_(options.pages) {
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
  sequence->prompt_length = static_cast<int>(spec.prompt.size());
  sequence->max_length = static_cast<int>(length);
  sequence->tokens = std::move(spec.prompt);
  sequence->tokens.reserve(sequence->tokens.size() + static_cast<size_t>(spec.max_tokens));
  sequence->spans = std::move(spec.spans);
  sequence->deadline = spec.deadline;
  sequence->order = arrivals_++;
  Sequence* added = sequence.get();
  check(sequences_.emplace(spec.id, std::move(sequence)).second, "request ", spec.id, " is already here");
  insert_by_order(waiting_, added);
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

Batch Scheduler::next(TimePoint now) {
  check(!planned_, "the step before is not launched");
  Batch batch;
  expire(now, batch);
  leave_places();
  schedule_decoding(batch);
  schedule_prefill(batch);
  admit(batch);
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
    if (sequence.leaving && sequence.launched == 0) erase(sequence.id);
  }
}

bool Scheduler::decodes() const {
  return std::ranges::any_of(running_, [](const Sequence* s) { return s->generated() > 0; });
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

// Those whose next token waits for a slice: they come back as it arrives.
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
    } else {
      preempt(sequence, batch);
      --i;
    }
  }
}

void Scheduler::schedule_prefill(Batch& batch) {
  for (size_t i = 0; i < running_.size() && batch.tokens < options_.token_budget; ++i) {
    const Sequence& sequence = *running_[i];
    if (sequence.leaving || sequence.scheduled > 0 || sequence.decoding()) continue;
    prefill(*running_[i], batch);
  }
}

void Scheduler::admit(Batch& batch) {
  for (size_t i = 0; i < waiting_.size();) {
    if (batch.tokens >= options_.token_budget) return;
    if (static_cast<int>(running_.size()) >= options_.max_running) return;
    Sequence& sequence = *waiting_[i];
    // One that waits for a slice may be passed; one that waits for pages may not, or a long prompt would wait
    // for ever.
    if (sequence.leaving || runnable_tokens(sequence) == 0) {
      ++i;
      continue;
    }
    if (!may_admit(sequence, running_, pool_.free() + spare_pages(waiting_), options_.page_size)) return;
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    sequence.phase = Phase::running;
    insert_by_order(running_, &sequence);
    batch.admitted.push_back(sequence.id);
    prefill(sequence, batch);
  }
}

bool Scheduler::prefill(Sequence& sequence, Batch& batch) {
  const int wanted = std::min(runnable_tokens(sequence), options_.token_budget - batch.tokens);
  const int count = wanted > 0 ? reserve(sequence, wanted, batch) : 0;
  if (count > 0) put(sequence, count, batch);
  return count > 0;
}

// Takes pages for up to `tokens` more tokens, from the free ones first, then from waiting sequences, then
// from younger ones; returns how many tokens the pages allow.
int Scheduler::reserve(Sequence& sequence, int tokens, Batch& batch) {
  const auto needed = static_cast<size_t>(pages_for(sequence.computed + tokens, options_.page_size));
  while (sequence.pages.size() < needed) {
    if (pool_.free() == 0 && !free_a_page(sequence, batch)) break;
    sequence.pages.push_back(pool_.take());
  }
  const int room = static_cast<int>(sequence.pages.size()) * options_.page_size - sequence.computed;
  return std::min(tokens, room);
}

bool Scheduler::free_a_page(const Sequence& requester, Batch& batch) {
  if (Sequence* spare = choose_spare(waiting_, requester)) {
    spare->pages.pop_back();
    spare->computed = std::min(spare->computed, static_cast<int>(spare->pages.size()) * options_.page_size);
    return true;
  }
  Sequence* victim = choose_victim(running_, requester);
  if (victim != nullptr) preempt(*victim, batch);
  return victim != nullptr;
}

void Scheduler::preempt(Sequence& sequence, Batch& batch) {
  sequence.pages.clear();
  sequence.computed = 0;
  sequence.phase = Phase::waiting;
  ++sequence.preemptions;
  std::erase(running_, &sequence);
  insert_by_order(waiting_, &sequence);
  batch.preempted.push_back(sequence.id);
}

void Scheduler::put(Sequence& sequence, int count, Batch& batch) {
  const bool samples = sequence.computed + count == sequence.length();
  batch.items.push_back({&sequence, sequence.computed, count, samples});
  batch.tokens += count;
  batch.samples += samples ? 1 : 0;
  sequence.scheduled = count;
}

void Scheduler::erase(SequenceId id) {
  const auto found = sequences_.find(id);
  std::erase(running_, found->second.get());
  std::erase(waiting_, found->second.get());
  sequences_.erase(found);
}

void Scheduler::check_integrity() const {
  pool_.check_integrity();
  check(sequences_.size() == running_.size() + waiting_.size(), "a sequence is in no list, or in two");
  std::vector<bool> written(static_cast<size_t>(pool_.total()), false);
  int held = 0;
  for (const auto& [id, sequence] : sequences_) {
    const auto holds = static_cast<int>(sequence->pages.size());
    const int computed = sequence->computed + sequence->scheduled;
    check(sequence->awaited <= sequence->launched, "request ", id, " awaits tokens that nobody draws");
    check(holds >= pages_for(computed, options_.page_size), "request ", id, " computed past its pages");
    check(sequence->length() <= sequence->max_length, "request ", id, " is longer than agreed");
    check(sequence->phase == Phase::running || sequence->scheduled == 0, "request ", id,
          " is planned without a place");
    held += holds;
    for (const PageRef& ref : sequence->pages) {
      const auto page = static_cast<size_t>(ref.page());
      check(!written[page], "page ", page, " has two writers");
      written[page] = true;
    }
  }
  check(held + pool_.free() == pool_.total(), "pages are lost: ", held, " held, ", pool_.free(), " free");
}

}  // namespace uhd
