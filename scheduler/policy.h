// These pure functions make the scheduler's decisions: which sequence runs, which is preempted, which is
// admitted.
#pragma once

#include <span>

#include "scheduler/sequence.h"

namespace uhd {

int pages_for(int tokens, int page_size);

// Returns how many tokens could be computed now: up to the first visual span whose rows have not arrived.
// Returns 0 while that is no further than the sequence had reached before: lost tokens are computed again
// only when there is more to do.
int runnable_tokens(const Sequence& sequence);

// Returns true if `a` has had its first turn after `b`, or has had none and came later.
bool younger(const Sequence& a, const Sequence& b);

// Returns how many tokens would have to be computed again after a preemption: full pages that have a name
// are kept when nobody holds them, if nobody needs their memory before.
int tokens_at_stake(const Sequence& sequence, int page_size);

// Returns the running sequence that is cheapest to bring back among those that are younger than `requester`
// and not part of the step being built, the youngest of equals; null if there is none. Only younger sequences
// give way, so the oldest always gets on and preemption cannot go in circles.
Sequence* choose_victim(std::span<Sequence* const> running, const Sequence& requester, int page_size);

// Returns the sequence that gives a page away before any running sequence does: the youngest of those that
// wait with pages. Returns null if there is none besides `requester`.
Sequence* choose_spare(std::span<Sequence* const> waiting, const Sequence& requester);
// Returns how many pages would become free if all that wait besides `requester` gave theirs away.
int spare_pages(std::span<Sequence* const> waiting, const Sequence& requester, const PagePool& pool);

// Returns the pages that running sequences will still take for tokens they already have: these pages are
// promised, though not taken yet.
int promised_pages(std::span<Sequence* const> running, int page_size);

// A waiting sequence is admitted when all its known tokens and one more fit its own pages and those that are
// neither held by running sequences nor promised to them (`free_pages`: with those that other waiting ones
// hold); alone it is always admitted, for the pool holds the longest sequence.
bool may_admit(const Sequence& sequence, std::span<Sequence* const> running, int free_pages, int page_size);

}  // namespace uhd
