#include "scheduler/policy.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace uhd {

int pages_for(int tokens, int page_size) { return (tokens + page_size - 1) / page_size; }

int runnable_tokens(const Sequence& sequence) {
  int end = sequence.length();
  for (const VisualSpan& span : *sequence.spans) {
    if (!span.ready && span.position + span.length > sequence.computed) {
      end = std::min(end, span.position);
      break;
    }
  }
  return end > sequence.reached ? std::max(0, end - sequence.computed) : 0;
}

bool younger(const Sequence& a, const Sequence& b) {
  return std::tie(a.order, a.arrival) > std::tie(b.order, b.arrival);
}

int tokens_at_stake(const Sequence& sequence, int page_size) {
  return std::max(0, sequence.computed - static_cast<int>(sequence.named) * page_size);
}

Sequence* choose_victim(std::span<Sequence* const> running, const Sequence& requester, int page_size) {
  Sequence* victim = nullptr;
  int least = 0;
  for (Sequence* s : running) {
    if (s->scheduled > 0 || s->pages.empty() || !younger(*s, requester)) continue;
    const int stake = tokens_at_stake(*s, page_size);
    if (victim != nullptr && (stake > least || (stake == least && younger(*victim, *s)))) continue;
    victim = s;
    least = stake;
  }
  return victim;
}

Sequence* choose_spare(std::span<Sequence* const> waiting, const Sequence& requester) {
  Sequence* spare = nullptr;
  for (Sequence* s : waiting) {
    if (s->pages.empty() || s == &requester) continue;
    if (spare == nullptr || younger(*s, *spare)) spare = s;
  }
  return spare;
}

int spare_pages(std::span<Sequence* const> waiting, const Sequence& requester, const PagePool& pool) {
  int pages = 0;
  std::unordered_map<int32_t, int> shared;  // by page: how many of them hold it
  for (const Sequence* s : waiting) {
    if (s == &requester) continue;
    for (const PageRef& ref : s->pages) {
      const int holders = pool.holders(ref.page());
      if (holders == 1 || ++shared[ref.page()] == holders) ++pages;
    }
  }
  return pages;
}

int promised_pages(std::span<Sequence* const> running, int page_size) {
  int promised = 0;
  for (const Sequence* s : running) {
    promised += std::max(0, pages_for(s->length(), page_size) - static_cast<int>(s->pages.size()));
  }
  return promised;
}

bool may_admit(const Sequence& sequence, std::span<Sequence* const> running, int free_pages, int page_size) {
  if (running.empty()) return true;
  const int needed = pages_for(sequence.length() + 1, page_size) - static_cast<int>(sequence.pages.size());
  return needed <= free_pages - promised_pages(running, page_size);
}

}  // namespace uhd
